package push

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"parley/internal/account"
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// MostPushers is how many pushers a user has at most: one more takes the place of the
// one that was set longest ago.
const MostPushers = 100

// Pushers keeps pushers. Each change has an entry of the journal, by which who pushes
// learns of it in its place among all that happens. It is safe for concurrent use.
type Pushers struct {
	db      *store.DB
	journal *journal.Journal
	ways    Ways
}

// Ways are the ways beside gateways in which users can be told.
type Ways struct {
	// Owns reports whether a mail address is known to be a user's; nil: this server
	// sends no mail.
	Owns func(ctx context.Context, user id.UserID, address string) (bool, error)
	// WebPush says that there is Web Push.
	WebPush bool
}

// NewPushers returns the pushers in a database.
func NewPushers(db *store.DB, j *journal.Journal, w Ways) *Pushers { return &Pushers{db, j, w} }

const pusherColumns = "user_id, app_id, pushkey, kind, app_name, device_name, profile_tag, lang, data, enabled, device_id, active, token, expires, ticket, changed, pos, coalesce(behind, 0)"

func scanPusher(scan func(...any) error) (p Pusher, err error) {
	err = scan(&p.User, &p.AppID, &p.Key, &p.Kind, &p.AppName, &p.DeviceName, &p.ProfileTag, &p.Lang, &p.Data,
		&p.Enabled, (*string)(&p.Device), &p.Active, &p.token, &p.expires, &p.ticket, &p.changed, &p.pos, &p.behind)
	return p, err
}

// ownPushers asks for the pushers of a user, in the order in which they were set.
const ownPushers = "SELECT " + pusherColumns + " FROM pushers WHERE user_id = $1 ORDER BY pos"

// readPusher returns a pusher; ok is false if there is none of the name.
func readPusher(b *journal.Batch, name pusherKey) (p Pusher, ok bool, err error) {
	p, err = scanPusher(b.Row("SELECT "+pusherColumns+" FROM pushers WHERE user_id = $1 AND app_id = $2 AND pushkey = $3",
		name.user, name.appID, name.key).Scan)
	if errors.Is(err, store.ErrNoRows) {
		return p, false, nil
	}
	return p, err == nil, err
}

// Of returns the pushers of a user, in the order in which they were set.
func (s *Pushers) Of(ctx context.Context, user id.UserID) (list []Pusher, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		list, err = pushersOf(tx.Query(ownPushers, user))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the pushers of %s: %w", user, err)
	}
	return list, nil
}

func pushersOf(rows iter.Seq2[store.Cursor, error]) ([]Pusher, error) {
	return store.Collect(rows, scanPusher)
}

// Set sets a pusher. Those of other users with its app_id and pushkey go, unless it
// is to be one more of them: whoever logs in on a device takes it over. A tokenless
// device is one of an application service, which is there without being logged in.
// If waits is returned, nothing is pushed before Activate is called with what the
// device is about to be sent. The refusals are [mxerr.InvalidParam], [mxerr.MissingParam], and
// [mxerr.UnknownToken] for a device that has logged out meanwhile.
func (s *Pushers) Set(ctx context.Context, p Pusher, add, tokenless bool) (waits bool, err error) {
	if err := p.check(); err != nil {
		return false, err
	}
	switch {
	case p.Kind == KindEmail:
		if err := s.checkAddress(ctx, p); err != nil {
			return false, err
		}
	case p.Kind == KindWeb && !s.ways.WebPush:
		return false, mxerr.New(mxerr.InvalidParam, "There is no Web Push here")
	}
	p.changed = time.Now().UnixMilli()
	_, err = s.journal.Append(ctx, func(b *journal.Batch) (err error) {
		waits, err = s.set(b, p, add, tokenless)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("setting a pusher of %s: %w", p.User, err)
	}
	return waits, nil
}

// checkAddress refuses a mail address that is not known to be the user's.
func (s *Pushers) checkAddress(ctx context.Context, p Pusher) error {
	if s.ways.Owns == nil {
		return mxerr.New(mxerr.InvalidParam, "This server sends no mail")
	}
	known, err := s.ways.Owns(ctx, p.User, p.Key)
	if err == nil && !known {
		err = mxerr.New(mxerr.InvalidParam, "The mail address is not one of your account")
	}
	return err
}

func (s *Pushers) set(b *journal.Batch, p Pusher, add, tokenless bool) (waits bool, err error) {
	err = b.Read(func(tx *store.Tx) error {
		if p.Device == "" {
			return nil
		}
		alive, err := account.Alive(tx, p.User, p.Device, tokenless)
		if err == nil && !alive {
			err = mxerr.New(mxerr.UnknownToken, "You have logged out")
		}
		return err
	})
	if err != nil {
		return false, err
	}
	if err := s.makeWay(b, p, add); err != nil {
		return false, err
	}
	was, there, err := readPusher(b, p.name())
	if err != nil {
		return false, err
	}
	p.succeed(was)
	if there && was.same(p) && p.Active {
		return false, nil
	}
	p.pos = b.Append(scopeOf(p.AppID, p.Key), journal.KindPusher, 0)
	b.Write(p.name(), func(tx *store.Tx) error { return p.put(tx, add) })
	return !p.Active, nil
}

// ackTime is how long a device has to show that it gets what is sent to it.
const ackTime = 5 * time.Minute

// succeed takes over from a pusher of the same name, which is the zero Pusher if there
// was none, what is not for clients to set.
func (p *Pusher) succeed(was Pusher) {
	p.Active = true
	switch p.Kind {
	case KindEmail:
		p.Device = ""
		if p.ticket = was.ticket; p.ticket == "" { // letters that were sent have it
			p.ticket = rand.Text()
		}
	case KindWeb:
		if p.Active = was.Active && was.subscription() == p.subscription(); !p.Active {
			p.token, p.expires = rand.Text(), time.Now().Add(ackTime).UnixMilli()
		}
	}
}

// makeWay removes the pushers that a new one takes the place of.
func (s *Pushers) makeWay(b *journal.Batch, p Pusher, add bool) error {
	own, err := pushersOf(b.Query(ownPushers, p.User))
	if err != nil {
		return fmt.Errorf("reading the pushers of %s: %w", p.User, err)
	}
	isNew := !slices.ContainsFunc(own, func(q Pusher) bool { return q.name() == p.name() })
	if isNew && len(own) >= MostPushers {
		remove(b, own[0])
	}
	if add {
		return nil
	}
	others, err := pushersOf(b.Query("SELECT "+pusherColumns+" FROM pushers WHERE handle = $1 AND app_id = $2 AND pushkey = $3 AND user_id <> $4",
		handle(p.AppID, p.Key), p.AppID, p.Key, p.User))
	if err != nil {
		return fmt.Errorf("looking for pushers that are set elsewhere, too: %w", err)
	}
	for _, q := range others {
		remove(b, q)
	}
	return nil
}

// put writes a pusher. Those of others that were set in the same batch are not known
// before.
func (p Pusher) put(tx *store.Tx, add bool) error {
	number := handle(p.AppID, p.Key)
	if !add {
		_, err := tx.Exec("DELETE FROM pushers WHERE handle = $1 AND app_id = $2 AND pushkey = $3 AND user_id <> $4", number, p.AppID, p.Key, p.User)
		if err != nil {
			return err
		}
	}
	return tx.Queue(`
		INSERT INTO pushers (user_id, app_id, pushkey, handle, kind, app_name, device_name, profile_tag, lang, data, enabled, device_id, active, token, expires, ticket, changed, pos)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
		ON CONFLICT (user_id, app_id, pushkey) DO UPDATE SET kind = excluded.kind, app_name = excluded.app_name, device_name = excluded.device_name,
			profile_tag = excluded.profile_tag, lang = excluded.lang, data = excluded.data, enabled = excluded.enabled, device_id = excluded.device_id,
			active = excluded.active, token = excluded.token, expires = excluded.expires, ticket = excluded.ticket, changed = excluded.changed, pos = excluded.pos, behind = NULL`,
		p.User, p.AppID, p.Key, number, p.Kind, p.AppName, p.DeviceName, p.ProfileTag, p.Lang, p.Data, p.Enabled, string(p.Device), p.Active, p.token, p.expires, p.ticket, p.changed, p.pos)
}

// remove adds to a batch that a pusher goes.
func remove(b *journal.Batch, p Pusher) {
	b.Append(scopeOf(p.AppID, p.Key), journal.KindPusher, 0)
	b.Write(p.name(), func(tx *store.Tx) error {
		return tx.Queue("DELETE FROM pushers WHERE user_id = $1 AND app_id = $2 AND pushkey = $3", p.User, p.AppID, p.Key)
	})
}

// Remove removes a pusher of a user, if there is one of the name.
func (s *Pushers) Remove(ctx context.Context, user id.UserID, appID, key string) error {
	if err := checkName(appID, key); err != nil {
		return err
	}
	return s.remove(ctx, user, func(p Pusher) bool { return p.AppID == appID && p.Key == key })
}

// Unsubscribe removes the pusher that a letter is from, by the ticket in it. That there
// is none any more is M_NOT_FOUND.
func (s *Pushers) Unsubscribe(ctx context.Context, ticket string) error {
	p, err := s.Ticket(ctx, ticket)
	if err != nil {
		return err
	}
	return s.remove(ctx, p.User, func(q Pusher) bool { return q.ticket == ticket })
}

// Ticket returns the pusher that a letter is from.
func (s *Pushers) Ticket(ctx context.Context, ticket string) (p Pusher, err error) {
	if ticket == "" {
		return p, mxerr.New(mxerr.NotFound, "There is no such ticket")
	}
	err = s.db.View(ctx, func(tx *store.Tx) error {
		p, err = scanPusher(tx.Row("SELECT "+pusherColumns+" FROM pushers WHERE ticket = $1 AND ticket <> ''", ticket).Scan)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return p, mxerr.New(mxerr.NotFound, "There is no such ticket")
	}
	if err != nil {
		return p, fmt.Errorf("looking for the pusher of a letter: %w", err)
	}
	return p, nil
}

// RemoveDevices removes what devices of a user have set, which are being removed.
func (s *Pushers) RemoveDevices(ctx context.Context, user id.UserID, devices []id.DeviceID) error {
	return s.remove(ctx, user, func(p Pusher) bool { return slices.Contains(devices, p.Device) })
}

// RemoveAll removes the pushers of a user who is gone.
func (s *Pushers) RemoveAll(ctx context.Context, user id.UserID) error {
	return s.remove(ctx, user, func(Pusher) bool { return true })
}

// remove removes pushers of a user. What is set in the same batch is not found: who
// logs out is not able to any more, and who asks for both at once gets either.
func (s *Pushers) remove(ctx context.Context, user id.UserID, which func(Pusher) bool) error {
	list, err := s.Of(ctx, user)
	if err != nil || !slices.ContainsFunc(list, which) {
		return err
	}
	_, err = s.journal.Append(ctx, func(b *journal.Batch) error {
		list, err := pushersOf(b.Query(ownPushers, user))
		for _, p := range list {
			if which(p) {
				remove(b, p)
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("removing pushers of %s: %w", user, err)
	}
	return nil
}
