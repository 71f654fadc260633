package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// maxDeviceName is how many bytes the name of a device may have.
const maxDeviceName = 256

// NewDevice is a device to log in with.
type NewDevice struct {
	User id.UserID
	// ID is empty if one is to be made up. A device that exists keeps its name
	// and loses its tokens.
	ID   id.DeviceID
	Name string
	Addr netip.Addr
	// Refreshes says that the client can refresh its access token.
	Refreshes bool
}

// A Login is what came of logging in.
type Login struct {
	UserID   id.UserID
	DeviceID id.DeviceID // empty if there was no login
	Tokens

	name string
	addr netip.Addr
}

// newLogin makes up what is needed for a login.
func (a *Accounts) newLogin(d NewDevice) (Login, error) {
	if d.ID == "" {
		d.ID = id.DeviceID(rand.Text()[:10])
	}
	if _, err := id.ParseDeviceID(string(d.ID)); err != nil {
		return Login{}, mxerr.New(mxerr.InvalidParam, "This cannot be the ID of a device").Wrap(err)
	}
	if err := checkDeviceName(d.Name); err != nil {
		return Login{}, err
	}
	return Login{UserID: d.User, DeviceID: d.ID, Tokens: a.newTokens(d.Refreshes), name: d.Name, addr: d.Addr}, nil
}

func checkDeviceName(name string) error {
	if len(name) > maxDeviceName || strings.IndexByte(name, 0) >= 0 {
		return mxerr.New(mxerr.InvalidParam, "The name of a device has at most %d bytes and no NUL", maxDeviceName)
	}
	return nil
}

// insert stores the tokens, and the device if it is new. The device comes first:
// its row is locked by who changes tokens, see settle, and whoever deleted some
// without that would wait for somebody who waits for them.
func (l Login) insert(tx *store.Tx) error {
	if _, err := tx.Exec(insertingDevice+"UPDATE SET seen = devices.seen", deviceRow(l.UserID, l.DeviceID, l.name, l.addr)...); err != nil {
		return err
	}
	if _, err := deleteTokens(tx, lockDevices, l.UserID, []id.DeviceID{l.DeviceID}); err != nil {
		return err
	}
	return l.Tokens.insert(tx, l.UserID, l.DeviceID, tokensInUse)
}

const insertingDevice = `
	INSERT INTO devices (user_id, device_id, name, seen, seen_ip, seen_agent, created, leaving) VALUES ($1, $2, $3, $4, $5, '', $4, false)
	ON CONFLICT (user_id, device_id) DO `

func deviceRow(user id.UserID, device id.DeviceID, name string, addr netip.Addr) []any {
	return []any{user, device, name, time.Now().UnixMilli(), addrText(addr)}
}

// insertDevice stores a device, and reports whether it was not there.
func insertDevice(tx *store.Tx, user id.UserID, device id.DeviceID, name string, addr netip.Addr) (made bool, err error) {
	n, err := tx.Exec(insertingDevice+"NOTHING", deviceRow(user, device, name, addr)...)
	return n == 1, err
}

// concerns reports whether the device is new, and refuses whoever cannot log in.
func (l Login) concerns(tx *store.Tx) (bool, error) {
	if err := l.allowed(tx); err != nil {
		return false, err
	}
	return isNew(tx, l.UserID, l.DeviceID)
}

// allowed refuses an account that is not there or was closed.
func (l Login) allowed(tx *store.Tx) error {
	info, _, err := readAccount(tx, l.UserID)
	if err != nil {
		return missing(l.UserID, err)
	}
	if info.Deactivated {
		return deactivated()
	}
	return nil
}

// Login gives a device a token. Whether it may have one, the caller has found
// out. The refusals are [mxerr.InvalidParam] for the device, [mxerr.NotFound]
// and [mxerr.UserDeactivated].
func (a *Accounts) Login(ctx context.Context, d NewDevice) (Login, error) {
	login, err := a.prepareDevice(ctx, d)
	if err != nil {
		return Login{}, err
	}
	err = a.change(ctx, login.UserID, login.concerns, func(tx *store.Tx) error {
		// Once more: it may be deactivated by what was committed together with this.
		if err := login.allowed(tx); err != nil {
			return err
		}
		return login.insert(tx)
	})
	a.sessions.drop(func(s Session) bool { return s.UserID == login.UserID && s.DeviceID == login.DeviceID })
	if err != nil {
		return Login{}, fmt.Errorf("logging in %s: %w", login.UserID, err)
	}
	return login, nil
}

// makeRoom removes devices of a user who has as many as allowed, until there is
// room for one more. Logins at the same time can still make it a few more. If the
// device itself is being removed, it is gone first.
func (a *Accounts) makeRoom(ctx context.Context, user id.UserID, device id.DeviceID) error {
	devices, err := a.Devices(ctx, user)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(devices, func(d Device) bool { return d.ID == device }); i >= 0 {
		if devices[i].leaving {
			return a.finishRemoving(ctx, user)
		}
		return nil
	}
	surplus := len(devices) + 1 - a.maxDevices
	if surplus <= 0 {
		return nil
	}
	slices.SortFunc(devices, func(x, y Device) int { return x.Seen.Compare(y.Seen) })
	oldest := make([]id.DeviceID, surplus)
	for i := range oldest {
		oldest[i] = devices[i].ID
	}
	return a.DeleteDevices(ctx, user, oldest)
}

// A Device is one of a user's clients.
type Device struct {
	ID   id.DeviceID
	Name string // empty if it has none
	// Seen is when, SeenAddr from where, and SeenAgent with which client it was
	// last heard of. The address and the client are empty if it had none.
	Seen      time.Time
	SeenAddr  string
	SeenAgent string
	Created   time.Time

	leaving bool
}

const deviceColumns = "device_id, name, seen, seen_ip, seen_agent, created, leaving"

// scanDevice reads deviceColumns.
func (a *Accounts) scanDevice(user id.UserID, scan func(...any) error) (Device, error) {
	var d Device
	var seen, created int64
	if err := scan(&d.ID, &d.Name, &seen, &d.SeenAddr, &d.SeenAgent, &created, &d.leaving); err != nil {
		return Device{}, err
	}
	d.Seen, d.Created = time.UnixMilli(seen), time.UnixMilli(created)
	if s, ok := a.sightings.get(deviceKey{user, d.ID}); ok && s.at.After(d.Seen) {
		d.Seen, d.SeenAddr, d.SeenAgent = s.at, addrText(s.addr), agentText(s.agent)
	}
	return d, nil
}

// Devices returns the devices of a user in the order of their IDs.
func (a *Accounts) Devices(ctx context.Context, user id.UserID) (devices []Device, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		rows := tx.Query("SELECT "+deviceColumns+" FROM devices WHERE user_id = $1 ORDER BY device_id", user)
		devices, err = store.Collect(rows, func(scan func(...any) error) (Device, error) { return a.scanDevice(user, scan) })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the devices of %s: %w", user, err)
	}
	return devices, nil
}

// DevicesOf returns the devices of some users, as they are in a transaction. Users
// without one are not in it.
func DevicesOf(tx *store.Tx, users []id.UserID) (map[id.UserID][]id.DeviceID, error) {
	devices := make(map[id.UserID][]id.DeviceID)
	in, list := tx.In(1, users)
	for row, err := range tx.Query("SELECT user_id, device_id FROM devices WHERE user_id "+in+" ORDER BY user_id, device_id", list) {
		if err != nil {
			return nil, fmt.Errorf("reading the devices of %d users: %w", len(users), err)
		}
		var user id.UserID
		var device id.DeviceID
		if err := row.Scan(&user, &device); err != nil {
			return nil, fmt.Errorf("reading the devices of %d users: %w", len(users), err)
		}
		devices[user] = append(devices[user], device)
	}
	return devices, nil
}

// Device returns one device of a user, or [mxerr.NotFound].
func (a *Accounts) Device(ctx context.Context, user id.UserID, device id.DeviceID) (d Device, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		d, err = a.scanDevice(user, tx.Row("SELECT "+deviceColumns+" FROM devices WHERE user_id = $1 AND device_id = $2", user, device).Scan)
		return err
	})
	if err != nil {
		return Device{}, missingDevice(user, device, err)
	}
	return d, nil
}

func missingDevice(user id.UserID, device id.DeviceID, err error) error {
	if errors.Is(err, store.ErrNoRows) {
		return mxerr.New(mxerr.NotFound, "You have no such device")
	}
	return fmt.Errorf("device %s of %s: %w", device, user, err)
}

// RenameDevice gives a device another name, which may be empty, or refuses with
// [mxerr.NotFound] or [mxerr.InvalidParam].
func (a *Accounts) RenameDevice(ctx context.Context, user id.UserID, device id.DeviceID, name string) error {
	if err := checkDeviceName(name); err != nil {
		return err
	}
	concerns := func(tx *store.Tx) (bool, error) {
		same, err := isNamed(tx, user, device, name)
		return !same, err
	}
	err := a.change(ctx, user, concerns, func(tx *store.Tx) error {
		return changeOne(tx, "UPDATE devices SET name = $3 WHERE user_id = $1 AND device_id = $2", user, device, name)
	})
	if err != nil {
		return missingDevice(user, device, err)
	}
	return nil
}

// AddDevice makes a device without a token, as application services do for
// their users. It reports whether the device is new; if not, nothing changes.
func (a *Accounts) AddDevice(ctx context.Context, d NewDevice) (made bool, err error) {
	login, err := a.prepareDevice(ctx, d)
	if err != nil {
		return false, err
	}
	err = a.change(ctx, d.User, login.missing, func(tx *store.Tx) error {
		made, err = insertDevice(tx, d.User, login.DeviceID, d.Name, d.Addr)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("adding a device of %s: %w", d.User, err)
	}
	return made, nil
}

// PlanDevice is AddDevice as a part of what somebody else commits, who tells others
// of the device: a crash would leave one of no use, if it came before what it is for.
func (a *Accounts) PlanDevice(ctx context.Context, d NewDevice) (add func(*journal.Batch) (made bool, err error), err error) {
	login, err := a.prepareDevice(ctx, d)
	if err != nil {
		return nil, err
	}
	return func(b *journal.Batch) (made bool, err error) {
		err = b.Read(func(tx *store.Tx) error {
			made, err = login.missing(tx)
			return err
		})
		if err != nil {
			return false, fmt.Errorf("adding a device of %s: %w", d.User, err)
		}
		if made {
			b.Write(deviceKey{d.User, login.DeviceID}, func(tx *store.Tx) error {
				_, err := insertDevice(tx, d.User, login.DeviceID, d.Name, d.Addr)
				return err
			})
		}
		return made, nil
	}, nil
}

// prepareDevice makes up what is needed for a device, and makes room for it.
func (a *Accounts) prepareDevice(ctx context.Context, d NewDevice) (Login, error) {
	login, err := a.newLogin(d)
	if err == nil {
		err = a.makeRoom(ctx, login.UserID, login.DeviceID)
	}
	return login, err
}

// missing reports whether the device is new, and refuses who has no account.
func (l Login) missing(tx *store.Tx) (bool, error) {
	if _, _, err := readAccount(tx, l.UserID); err != nil {
		return false, missing(l.UserID, err)
	}
	return isNew(tx, l.UserID, l.DeviceID)
}

// WithDevices returns the users who have a device.
func (a *Accounts) WithDevices(ctx context.Context) (users []id.UserID, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		users, err = store.List[id.UserID](tx, "SELECT DISTINCT user_id FROM devices")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for who has devices: %w", err)
	}
	return users, nil
}

// HasToken reports whether a device has an access token: those that application
// services make have none.
func (a *Accounts) HasToken(ctx context.Context, user id.UserID, device id.DeviceID) (has bool, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row("SELECT EXISTS (SELECT 1 FROM access_tokens WHERE user_id = $1 AND device_id = $2)", user, device).Scan(&has)
	})
	if err != nil {
		return false, fmt.Errorf("looking for a token of device %s of %s: %w", device, user, err)
	}
	return has, nil
}
