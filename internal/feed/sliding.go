package feed

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/id"
)

// A SlidingRequest is one request of a device on one of its connections. Its
// connections do not know of each other.
// https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md
type SlidingRequest struct {
	User   id.UserID
	Device id.DeviceID
	Form   SlidingForm
	// Conn is the connection, and Pos what the last answer on it said, empty to
	// begin one.
	Conn, Pos string
	// Timeout is how long to wait for something to tell, at the start of a
	// connection not at all.
	Timeout time.Duration
	// SetPresence is as it came, and so is what an answer is to say in turn.
	SetPresence, TxnID string

	lists         []slidingList
	subscriptions map[id.RoomID]wish

	accountData, receipts, typing, profiles scope
	// profileFields are those of which the extension is to tell; nil: all.
	profileFields    []string
	toDevice, sticky struct {
		on    bool
		since string
		limit int
	}
	e2ee    bool
	threads struct {
		on    bool
		limit int
	}
}

// A slidingList is the rooms that pass a filter, as far as they are in one of the
// ranges of the user's rooms in the order of the roster.
type slidingList struct {
	key    string
	ranges []interval
	filter slidingFilter
	wish
}

// An interval of indexes has both its ends.
type interval struct{ first, last int64 }

func (l *slidingList) within(index int64) bool {
	return slices.ContainsFunc(l.ranges, func(i interval) bool { return i.first <= index && index <= i.last })
}

// A wish is what is to be told of a room: how many of the last events, and which
// state.
type wish struct {
	limit int
	want  string // as want.encode writes it
}

// A scope is of which rooms an extension tells: those in some lists, or all, and
// some that are subscribed to, or all.
type scope struct {
	on                 bool
	name               string // of the extension in the request
	allLists, allRooms bool
	lists              []string
	rooms              []id.RoomID
}

func (s *scope) has(m *match) bool {
	if m == nil || !s.on {
		return false
	}
	if m.subscribed && (s.allRooms || slices.Contains(s.rooms, m.room.RoomID)) {
		return true
	}
	return len(m.lists) > 0 && (s.allLists || slices.ContainsFunc(m.lists, func(key string) bool { return slices.Contains(s.lists, key) }))
}

// A pos is what a client comes with that has got an answer: the version of the
// connection, a number of the answer, and the token of its moment.
type pos struct {
	version int64
	answer  uint32
	token   Token
}

// String returns a pos as clients carry it: p1_VERSION_ANSWER_TOKEN.
func (p pos) String() string {
	return "p1_" + strconv.FormatInt(p.version, 36) + "_" + strconv.FormatUint(uint64(p.answer), 36) + "_" + p.token.String()
}

func parsePos(s string) (p pos, ok bool) {
	parts := strings.SplitN(s, "_", 4)
	if len(parts) != 4 || parts[0] != "p1" {
		return p, false
	}
	version, err := strconv.ParseInt(parts[1], 36, 64)
	if err != nil || version <= 0 {
		return p, false
	}
	answer, err := strconv.ParseUint(parts[2], 36, 32)
	if err != nil {
		return p, false
	}
	token, err := ParseToken(parts[3])
	return pos{version, uint32(answer), token}, err == nil
}

// ParseMoment is ParseToken for what may come from sliding sync as well: wherever a
// client may name a moment of the past, a pos will do.
func ParseMoment(s string) (Token, error) {
	if p, ok := parsePos(s); ok {
		return p.token, nil
	}
	return ParseToken(s)
}

// Sliding answers a request. As Sync does, it waits until there is something to
// tell. M_UNKNOWN_POS tells the client to begin anew.
func (f *Feed) Sliding(ctx context.Context, q *SlidingRequest) (*SlidingResponse, error) {
	var from pos
	if q.Pos != "" {
		var ok bool
		if from, ok = parsePos(q.Pos); !ok || !f.leads(from.token) {
			return nil, errUnknownPos()
		}
	}
	mail, err := f.takeMail(ctx, q)
	if err != nil {
		return nil, err
	}
	stuckTo, err := f.parseMark(stickyMark, q.sticky.since)
	if err != nil {
		return nil, err
	}
	w, err := f.watches.acquire(ctx, q.User, true)
	if err != nil {
		return nil, err
	}
	defer f.watches.release(w)
	wait, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	line := f.turns
	if q.Pos == "" {
		line = f.longTurns
	}
	turn := line.new()
	turn.queue()
	s := &slide{
		req: q, from: from, conn: f.connections.get(connKey{q.User, q.Device, q.Conn}), params: q.params(), mail: mail, sticky: stuckTo,
		adds: &told{rooms: make(map[room.Num]sent)},
	}
	since := from.token
	for {
		pokes, a, err := f.slide(ctx, turn, s, w, since)
		if err != nil {
			return nil, err
		}
		if a.response.empty() && q.Pos != "" && q.Timeout > 0 {
			turn = f.turns.new()
			if f.news(wait, turn, w, a.now.Pos, pokes, q.deaf()...) {
				since = a.now // what was not told before it stands in what the answer adds
				continue
			}
		}
		return f.settle(ctx, s, a)
	}
}

// deaf returns of what the request is not woken.
func (q *SlidingRequest) deaf() (kinds []journal.Kind) {
	if !q.profiles.on {
		kinds = append(kinds, journal.KindProfile)
	}
	if !q.e2ee {
		kinds = append(kinds, journal.KindDeviceList)
	}
	return kinds
}

// takeMail takes in that a device has what was sent to it, and returns up to where.
func (f *Feed) takeMail(ctx context.Context, q *SlidingRequest) (journal.Position, error) {
	if !q.toDevice.on || f.ToDevice == nil || q.Device == "" {
		return 0, nil
	}
	told, err := f.parseMark(mailMark, q.toDevice.since)
	if err == nil && told != 0 {
		err = f.ToDevice.Acknowledge(ctx, q.User, q.Device, told)
	}
	return told, err
}

// A slide is a request on its way.
type slide struct {
	req    *SlidingRequest
	from   pos
	conn   *connection
	params string           // what of the request says which rooms are told of, and how
	begun  bool             // there was a look
	mail   journal.Position // up to where the device has what is sent to it
	sticky journal.Position // up to where the client has sticky events
	// adds is what the answer adds to what the client was told.
	adds *told
}

// params returns the same for requests that differ in no more than where they go on.
func (q *SlidingRequest) params() string {
	var b strings.Builder
	part := func(texts ...string) {
		for _, text := range texts {
			b.WriteString(strconv.Quote(text))
		}
		b.WriteByte(';')
	}
	flag := func(yes *bool) string {
		if yes == nil {
			return ""
		}
		return strconv.FormatBool(*yes)
	}
	for _, l := range q.lists {
		f := l.filter
		part(l.key, l.want, strconv.Itoa(l.limit), flag(f.direct), flag(f.encrypted), flag(f.invited),
			strconv.FormatBool(f.byType), strconv.FormatBool(f.byTag), strconv.FormatBool(f.bySpace))
		for _, i := range l.ranges {
			part(strconv.FormatInt(i.first, 10), strconv.FormatInt(i.last, 10))
		}
		part(f.types...)
		part(f.notTypes...)
		part(f.tags...)
		part(f.notTags...)
		for _, roomID := range f.spaces {
			part(string(roomID))
		}
	}
	var rooms []string
	for roomID, w := range q.subscriptions {
		rooms = append(rooms, strconv.Quote(string(roomID))+strconv.Itoa(w.limit)+w.want)
	}
	slices.Sort(rooms)
	part(rooms...)
	part(q.following())
	for _, s := range []scope{q.accountData, q.receipts, q.typing, q.profiles} {
		part(strconv.FormatBool(s.on), strconv.FormatBool(s.allLists), strconv.FormatBool(s.allRooms))
		part(s.lists...)
		for _, roomID := range s.rooms {
			part(string(roomID))
		}
	}
	return b.String()
}

// slide answers for the present, as look does.
func (f *Feed) slide(ctx context.Context, turn *turn, s *slide, w *watch, since Token) (pokes uint64, a *slidingAnswer, err error) {
	defer turn.end()
	if err := turn.wait(ctx); err != nil {
		return 0, nil, err
	}
	pokes = w.sub.Pokes()
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := f.begin(ctx, s); err != nil {
		return 0, nil, err
	}
	w.roster.mu.Lock()
	defer w.roster.mu.Unlock()
	a = &slidingAnswer{
		answer: &answer{
			Feed: f, q: Request{User: s.req.User, Device: s.req.Device, Filter: f.open, StateAfter: "required_state"},
			watch: w, since: since, now: f.Now(), knowing: since.Pos, rooms: make(map[room.Num]*news), told: make(members),
		},
		slide: s, roster: &w.roster, matches: make(map[room.Num]*match), changes: make(map[room.Num]*change), timelines: make(map[room.Num]*shownTimeline),
		counted: make(map[room.Num]room.Counts),
	}
	if err = a.make(ctx); errors.Is(err, journal.ErrGone) {
		err = errUnknownPos()
	}
	return pokes, a, err
}

// begin finds what the client was told, at the first look. Later it must not have
// gone on by another request. The caller holds the connection's mu.
func (f *Feed) begin(ctx context.Context, s *slide) error {
	c := s.conn
	if s.begun {
		if c.version != s.from.version {
			return errUnknownPos()
		}
		return nil
	}
	s.begun = true
	if err := f.connections.come(ctx, c, s.from.version); err != nil {
		return err
	}
	if s.from.version == 0 {
		c.memory, c.settled = memory{}, settled{}
	}
	c.memory.came(s.from.answer)
	return nil
}

// settle stores what the answer adds, and gives it its position.
func (f *Feed) settle(ctx context.Context, s *slide, a *slidingAnswer) (*SlidingResponse, error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != s.from.version {
		return nil, errUnknownPos() // the client has gone on meanwhile, by another request
	}
	next := pos{version: c.version, answer: rand.Uint32(), token: a.now}
	if !s.adds.empty() || c.version == 0 {
		k, err := c.bear(s.adds)
		if err == nil {
			err = f.connections.save(ctx, c, k)
		}
		if err != nil {
			return nil, err
		}
		c.born(k)
		next.version = k.version
	} else if err := f.connections.touch(ctx, c); err != nil {
		return nil, err
	}
	f.connections.weigh(c.key, len(c.told.rooms)+len(s.adds.rooms))
	c.memory.answered(remembered{answer: next.answer, told: a.told, flushed: a.flushed, shown: a.shown(), unread: a.counted, profiled: a.profiled})
	if a.settled.params != "" {
		c.settled = a.settled
		c.settled.version = next.version
	}
	a.response.pos = next.String()
	return &a.response, nil
}
