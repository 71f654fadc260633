package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

const (
	// patience is how long a condition may take to become true.
	patience = 10 * time.Second
	// syncTimeout is what mautrix asks /sync to wait.
	syncTimeout = 30 * time.Second
)

var background = context.Background()

// A device is a client that has logged in and syncs: the SDK's client, its
// state store, and what its callbacks made of the syncs.
type device struct {
	*mautrix.Client
	t    *testing.T
	name string // "phone"
	who  string // "alice's phone"
	user *user
	lazy bool // whether it loads members as it needs them

	stop func() // ends the syncing, waits for its end

	// mu guards the following, which the syncing writes.
	mu       sync.Mutex
	rooms    map[id.RoomID]*view
	account  map[string]string // account data as JSON, by type
	presence map[id.UserID]*event.PresenceEventContent
	syncs    int           // responses that were taken in
	failed   error         // what ended the syncing
	changed  chan struct{} // closed and replaced after each response
}

// plainly is the filter of a device that wants nothing special. The limit is
// small, so that scenes get past it.
func plainly() *mautrix.Filter {
	return &mautrix.Filter{Room: &mautrix.RoomFilter{
		Timeline: &mautrix.FilterPart{Limit: 20},
		State:    &mautrix.FilterPart{},
	}}
}

// lazily is the filter of a device that loads members as it needs them.
func lazily() *mautrix.Filter {
	f := plainly()
	f.Room.State.LazyLoadMembers = true
	return f
}

// logsIn makes a device with the user's password and starts to sync.
func (u *user) logsIn(name string) *device {
	u.t.Helper()
	return u.logsInWith(name, plainly())
}

func (u *user) logsInWith(name string, filter *mautrix.Filter) *device {
	u.t.Helper()
	c := client(u.t)
	_, err := c.Login(background, &mautrix.ReqLogin{
		Type:                     mautrix.AuthTypePassword,
		Identifier:               mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: u.username},
		Password:                 u.password,
		InitialDeviceDisplayName: name,
		StoreCredentials:         true,
	})
	if err != nil {
		u.t.Fatalf("%s logs in on the %s: %v", u.name, name, err)
	}
	return u.uses(c, name, filter)
}

// startsAfresh is the same device with its memory lost: it knows its access
// token, and syncs from the beginning.
func (d *device) startsAfresh() *device {
	d.t.Helper()
	c := client(d.t)
	c.UserID, c.DeviceID, c.AccessToken = d.UserID, d.DeviceID, d.AccessToken
	return d.user.uses(c, d.name+" started afresh", d.Syncer.GetFilterJSON(d.UserID))
}

// uses starts the syncing of a client that has its access token, and waits for
// the first response.
func (u *user) uses(c *mautrix.Client, name string, filter *mautrix.Filter) *device {
	u.t.Helper()
	c.StateStore = mautrix.NewMemoryStateStore()
	d := &device{
		Client: c, t: u.t, name: name, who: u.name + "'s " + name, user: u,
		lazy:  filter.Room.State.LazyLoadMembers,
		rooms: map[id.RoomID]*view{}, account: map[string]string{}, presence: map[id.UserID]*event.PresenceEventContent{}, changed: make(chan struct{}),
	}
	s := &syncer{DefaultSyncer: mautrix.NewDefaultSyncer(), device: d}
	s.FilterJSON = filter
	s.ParseErrorHandler = s.parseError
	s.OnEvent(c.StateStoreSyncHandler)
	c.Syncer = s
	d.wakesUp()
	d.until("its first sync", func() bool { return d.syncs > 0 })
	return d
}

// wakesUp starts the syncing where it was left.
func (d *device) wakesUp() {
	ctx, cancel := context.WithCancel(background)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := d.SyncWithContext(ctx); !errors.Is(err, context.Canceled) {
			d.notice(func() { d.failed = fmt.Errorf("syncing ended: %w", err) })
		}
	}()
	d.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	d.t.Cleanup(d.stop)
}

// fallsAsleep ends the syncing; the device keeps what it knows.
func (d *device) fallsAsleep() { d.stop() }

// notice changes what the device knows and wakes those who wait for it.
func (d *device) notice(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	close(d.changed)
	d.changed = make(chan struct{})
}

// until waits for a condition, which is asked with d.mu locked after every
// sync.
func (d *device) until(what string, condition func() bool) {
	d.t.Helper()
	d.untilNothing(what, func() string {
		if condition() {
			return ""
		}
		return "it did not happen"
	})
}

// untilNothing waits until there is nothing left to complain about.
func (d *device) untilNothing(what string, complaint func() string) {
	d.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		d.mu.Lock()
		c, failed, changed := complaint(), d.failed, d.changed
		d.mu.Unlock()
		if c == "" {
			return
		}
		if failed != nil {
			d.t.Fatalf("%s waits for %s: %v\n%s", d.who, what, failed, c)
		}
		select {
		case <-changed:
		case <-deadline.C:
			d.t.Fatalf("%s waited %v for %s: %s\n%s", d.who, patience, what, c, d.knows())
		}
	}
}

// syncer is mautrix's own, but that nothing is passed over silently: a sync
// that fails ends the syncing, and so does an event that cannot be parsed.
type syncer struct {
	*mautrix.DefaultSyncer
	device  *device
	refused error // an event of the response at hand that could not be parsed
}

func (s *syncer) ProcessResponse(ctx context.Context, response *mautrix.RespSync, since string) error {
	if err := s.DefaultSyncer.ProcessResponse(ctx, response, since); err != nil {
		return err
	}
	s.device.notice(func() { s.device.takesIn(response) })
	return s.refused
}

func (s *syncer) OnFailedSync(_ *mautrix.RespSync, err error) (time.Duration, error) {
	return 0, err
}

func (s *syncer) parseError(e *event.Event, err error) bool {
	if errors.Is(err, event.ErrUnsupportedContentType) { // a type that mautrix has no struct for
		return true
	}
	s.refused = fmt.Errorf("parsing %s %s of %s, %s: %w", e.Type.Type, e.ID, e.RoomID, e.Content.VeryRaw, err)
	return false
}
