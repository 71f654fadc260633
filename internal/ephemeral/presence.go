package ephemeral

import (
	"container/list"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// MostOffline is how many users are remembered who are offline, at about 300
// bytes each and 100 for each of their rooms.
const MostOffline = 1 << 15

// An About is what has to be known of a user to tell others of the presence.
type About struct {
	// Rooms are the scopes of the rooms that the user is in.
	Rooms []journal.Scope
	// Displayname and AvatarURL are JSON, nil if there is none.
	Displayname, AvatarURL canonjson.Value
}

// PresenceOptions are what presence needs of the rest of the server.
type PresenceOptions struct {
	// Load finds out about a user. What is durable when it is called is taken
	// into account.
	Load func(ctx context.Context, user id.UserID) (About, error)
	// Recall returns users who may have been online when the server was ended
	// last. Nil: nobody.
	Recall func(ctx context.Context) ([]id.UserID, error)
	// Announce is called when something is shown of a user, with the rooms of those who
	// see it. It must not block, nor call the presence. Nil: nobody wants to know.
	Announce func(user id.UserID, rooms []journal.Scope, s Status)
	// Log gets what keeps users from being told of. Nil: nobody does.
	Log *slog.Logger
}

// Presence is who is online. It is safe for concurrent use.
type Presence struct {
	PresenceOptions
	board   *Board
	journal *journal.Journal
	sub     *journal.Subscription // to what users become to rooms
	upTo    journal.Position      // of what was read of it; Run's
	wake    chan struct{}         // has room for one signal that Run is to think again
	offline int                   // how many are remembered

	cost atomic.Int64 // of what was told since the last tick

	// mu guards what follows, and what is in the people.
	mu     sync.RWMutex
	people map[id.UserID]*person
	watch  map[*person]struct{} // those of whom something may have changed, or may by itself
	quiet  *list.List           // of *person who are offline; who changed last is in front
	rooms  map[journal.Scope]*gathering
	floor  uint64    // the greatest number of somebody who was forgotten
	news   time.Time // since when there is something to tell; zero: there is nothing
	due    time.Time // when something changes by itself; zero: never
	last   time.Time // the last tick that told something
	looked time.Time // the last tick
}

// person is a user of whom something is known.
type person struct {
	user    id.UserID
	scope   journal.Scope
	devices map[id.DeviceID]*device
	report  *report // of a user of another server
	message string
	// since is when the user has done something last, in milliseconds since 1970.
	// It is read without the lock by who has what is shown.
	since *atomic.Int64

	about About
	stale bool // about has to be loaded
	// loading: it is being loaded.
	loading bool
	absent  time.Time // not told of as offline before, since the user may come back

	rooms   map[journal.Scope]*list.Element // where the user stands in each room
	shown   *Shown                          // nil: nothing was told yet
	changed uint64                          // the number of that
	quiet   *list.Element
}

// gathering is who of a room is on the board.
type gathering struct {
	changed uint64
	people  *list.List // of *person; who changed last is in front
}

// NewPresence returns the presence of users, of which nobody is online. Run shows
// it to others.
func NewPresence(b *Board, j *journal.Journal, o PresenceOptions) *Presence {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Presence{
		PresenceOptions: o, board: b, journal: j, sub: j.Subscribe(), upTo: j.Head(), wake: make(chan struct{}, 1), offline: MostOffline,
		people: make(map[id.UserID]*person), watch: make(map[*person]struct{}), quiet: list.New(), rooms: make(map[journal.Scope]*gathering),
	}
}

// Set is what a user says of the presence, on a device. It counts as activity,
// unless it is that the user is gone. An empty message takes back the one before.
func (p *Presence) Set(user id.UserID, name id.DeviceID, state State, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	per, now := p.person(user), time.Now()
	per.message = message
	d := per.device(name)
	if d.state = state; state >= Online {
		d.active = now
	}
	if state != Offline {
		per.act(now)
		if state == Unavailable && d.syncs == 0 {
			d.synced = now // or the device would be gone at once
		}
	}
	p.touch(per, now)
}

// Sync takes in that a device syncs, in a state that is not Offline, until ended is
// called. That a busy device is anything else it has to say by Set.
func (p *Presence) Sync(user id.UserID, name id.DeviceID, state State) (ended func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	per, now := p.person(user), time.Now()
	d := per.device(name)
	if was, _ := d.at(now); was == Offline && state >= Online {
		d.active = now
		per.act(now)
	}
	if d.state != Busy {
		d.state = state
	}
	d.syncs++
	p.touch(per, now)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		now := time.Now()
		d.syncs--
		d.synced = now
		p.touch(per, now)
	}
}

// Active takes in that a user has done something on a device. It makes nobody
// come online who is not.
func (p *Presence) Active(user id.UserID, name id.DeviceID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	per := p.people[user]
	if per == nil || per.devices[name] == nil {
		return
	}
	d, now := per.devices[name], time.Now()
	if d.state == Offline {
		return
	}
	d.state, d.active = max(d.state, Online), now
	per.act(now)
	p.touch(per, now)
}

// A Report is what another server says of one of its users.
type Report struct {
	State     State
	Ago       time.Duration // since the user has done something
	Currently bool
	Message   string
}

// reportTime is how long a report is believed that nothing is heard after.
const reportTime = 30 * time.Minute

// report is one, until it is not believed any more.
type report struct {
	Report
	until time.Time
}

// Report takes in what another server says of one of its users.
func (p *Presence) Report(user id.UserID, r Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.people[user] == nil && r.State == Offline {
		return // as it was believed
	}
	per, now := p.person(user), time.Now()
	per.message, per.report = r.Message, &report{r, now.Add(reportTime)}
	per.act(now.Add(-r.Ago))
	per.stale = true // nothing says into which rooms users of other servers come
	p.touch(per, now)
}

// Renamed takes in that the profile of a user has changed.
func (p *Presence) Renamed(user id.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if per := p.people[user]; per != nil {
		per.stale = true
		p.touch(per, time.Now())
	}
}

// Status returns the presence of a user as it is at this moment.
func (p *Presence) Status(user id.UserID) Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	per := p.people[user]
	if per == nil {
		return Status{}
	}
	s, _ := per.status(time.Now())
	return s
}

// person returns a user, who may be new. The caller holds mu.
func (p *Presence) person(user id.UserID) *person {
	per := p.people[user]
	if per == nil {
		per = &person{
			user: user, scope: journal.UserScope(user), devices: make(map[id.DeviceID]*device), since: new(atomic.Int64),
			stale: true, rooms: make(map[journal.Scope]*list.Element),
		}
		p.people[user] = per
		p.sub.Add(per.scope)
	}
	return per
}

// touch takes in that something has changed of a user, and has Run look at it if
// it has to look earlier than it would. The caller holds mu.
func (p *Presence) touch(per *person, now time.Time) {
	if per.quiet != nil {
		p.quiet.Remove(per.quiet)
		per.quiet = nil
	}
	p.watch[per] = struct{}{}
	s, until := per.status(now)
	if until = earlier(p.due, until); until != p.due {
		p.due = until
		p.signal()
	}
	if p.news.IsZero() && (per.stale || !per.shows(s)) {
		p.news = now
		p.signal()
	}
}

func (p *Presence) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// act notes that the user has done something.
func (p *person) act(now time.Time) { p.since.Store(now.UnixMilli()) }

// active is when that was.
func (p *person) active() time.Time {
	if ms := p.since.Load(); ms != 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}
