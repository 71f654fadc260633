package feed

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"parley/internal/accountdata"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// An answer is made for one request.
type answer struct {
	*Feed
	q     Request
	watch *watch
	since Token // zero for an initial one
	// knowing is the position up to which the client knows everything, 0 if it knows
	// nothing. It is that of since, but for an initial answer to a client whose
	// token the journal does not reach back to.
	knowing journal.Position
	now     Token
	Response

	rooms map[room.Num]*news
	// entered: the user has come into a room.
	entered bool
	// ignored is of whom the user does not want to hear. relisted: that may have
	// changed since the last answer.
	ignored  map[id.UserID]bool
	relisted bool
	told     members // that a client is told of that loads them lazily
	// hasSigned: the user has signed keys of others.
	hasSigned bool

	befores map[id.RoomID]room.Moment // rooms as they were at the last answer

	stream []streamed // the events of the answer, if that is what is wanted
}

// news is what there may be to tell of a room in which the user is.
type news struct {
	num room.Num
	id  id.RoomID
	// fresh: the user was not in the room before, so everything is to be told.
	fresh bool
	// sight is what the user may see of the room, nil if the user was in it all
	// the time since the last answer.
	sight *room.Sight

	events   bool           // there are new events
	sticky   bool           // there are sticky events that were soft-failed until now
	redacted []stateres.Num // events that were redacted
	receipts bool           // there are new receipts
	typing   bool           // what is known of who is typing may be wrong
	recount  bool           // what is unread may be counted otherwise
	whole    bool           // all members are known since the last answer

	data  []accountdata.Data
	said  []receipt.Receipt
	reads room.Reads // by receipts
}

// answer makes the answer that leads from a token to another.
func (f *Feed) answer(ctx context.Context, q Request, w *watch, since, now Token, knowing journal.Position) (*answer, error) {
	a := &answer{Feed: f, q: q, watch: w, since: since, now: now, knowing: knowing, rooms: make(map[room.Num]*news), told: make(members)}
	a.Response.Next = now
	var err error
	if a.ignored, err = f.AccountData.Ignored(ctx, q.User); err != nil {
		return nil, err
	}
	if since != (Token{}) {
		if err = a.changes(ctx); errors.Is(err, journal.ErrGone) {
			a.since, err = Token{}, nil
			clear(a.rooms)
			a.Response = Response{Next: now}
		}
	}
	if a.since == (Token{}) && err == nil {
		err = a.everything(ctx)
	}
	if err == nil {
		err = a.tell(ctx)
	}
	if err != nil {
		return nil, err
	}
	a.tellPresence()
	if err := a.tellDevice(ctx); err != nil {
		return nil, err
	}
	if err := a.tellKeys(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// everything finds what there is to tell in an initial answer.
func (a *answer) everything(ctx context.Context) error {
	data, err := a.AccountData.All(ctx, a.q.User, a.now.Pos)
	if err != nil {
		return err
	}
	rooms, err := a.follow(ctx, a.now.Pos)
	if err != nil {
		return err
	}
	for _, m := range rooms {
		if !a.q.Filter.Room.AllowsRoom(m.RoomID) {
			continue
		}
		if m.Membership == event.MembershipJoin && m.Pos <= a.now.Pos {
			a.rooms[m.Room] = &news{num: m.Room, id: m.RoomID, fresh: true}
			continue
		}
		if m.Pos <= a.now.Pos && event.IsOut(m.Membership) && (m.Forgotten || !a.q.Filter.Room.IncludeLeave) && !a.missed(m) {
			continue
		}
		if err := a.moved(ctx, m.Room, m.RoomID); err != nil {
			return err
		}
	}
	a.sortData(data)
	if a.q.Since != "" && a.DeviceLists != nil {
		if a.Response.devices, err = a.allDevices(ctx, a.q.User); err != nil {
			return err
		}
	}
	return a.tellAllProfiles(ctx)
}

// missed reports whether the user has left a room that a client may know of which
// knows something already. Nothing else would tell it.
func (a *answer) missed(m room.Membership) bool { return a.knowing != 0 && m.Pos > a.knowing }

// follow brings the watch up to a position and returns the user's rooms. It is
// behind when the answers up to there were not given by it: at a user's first
// sync of all, on another node, or when a client began anew.
func (a *answer) follow(ctx context.Context, pos journal.Position) ([]room.Membership, error) {
	rooms, err := a.Rooms.Rooms(ctx, a.q.User)
	known := a.watch.known()
	if err != nil || known >= pos {
		return rooms, err
	}
	for _, m := range rooms {
		if m.Pos <= known {
			continue
		}
		sight, err := a.Rooms.SightAt(ctx, m.RoomID, a.q.User, a.now.Pos)
		if err != nil && !room.IsGone(err) {
			return nil, err
		}
		a.watch.update(m.Room, m.RoomID, sight, a.now.Pos)
	}
	a.watch.knows(a.now.Pos)
	return rooms, nil
}

// changes finds what there is to tell in an incremental answer.
func (a *answer) changes(ctx context.Context) error {
	if a.watch.known() < a.since.Pos {
		if _, err := a.follow(ctx, a.since.Pos); err != nil {
			return err
		}
	}
	entries, err := a.watch.read(ctx, a.Journal, a.since.Pos, a.now.Pos)
	if err != nil {
		return err
	}
	// First where the user came in or left: the rest is about rooms that the
	// user was in all the time.
	moved := make(map[room.Num]bool)
	for _, e := range entries {
		if num := room.Num(e.Ref); e.Kind == journal.KindMembership && !moved[num] {
			moved[num] = true
			roomID, err := a.Rooms.RoomID(ctx, num)
			if err != nil {
				return err
			}
			if err := a.moved(ctx, num, roomID); err != nil {
				return err
			}
		}
	}
	a.watch.knows(a.now.Pos)
	l := a.lister(entries)
	if err := a.tellDeviceLists(ctx, l); err != nil {
		return err
	}
	if err := a.tellProfiles(ctx, l); err != nil {
		return err
	}
	accountData, recount := false, false
	for _, e := range entries {
		switch e.Kind {
		case journal.KindAccountData:
			accountData = true
			recount = recount || e.Ref == accountdata.RefPushRules
		case journal.KindEvent:
			if n := a.about(room.Num(e.Scope.Number())); n != nil {
				n.events = true
			}
		case journal.KindSticky:
			if n := a.about(room.Num(e.Scope.Number())); n != nil {
				n.sticky = true
			}
		case journal.KindRedaction:
			if n := a.about(room.Num(e.Scope.Number())); n != nil {
				n.redacted = append(n.redacted, stateres.Num(e.Ref))
			}
		case journal.KindWhole:
			if err := a.becameWhole(ctx, room.Num(e.Ref)); err != nil {
				return err
			}
		case journal.KindReceipt:
			if n := a.about(room.Num(e.Ref)); n != nil {
				n.receipts = true
			}
		case journal.KindSubscription:
			if n := a.about(room.Num(e.Ref)); n != nil && a.ThreadRules {
				n.recount = true
			}
		case journal.KindPurge: // what was unread of it is not any more
			if n := a.about(room.Num(e.Ref)); n != nil {
				n.recount = true
			}
		case journal.KindOneTimeKeys, journal.KindSignature:
			a.aboutKeys(e)
		}
	}
	a.typing()
	if a.q.FullState || recount {
		for num := range a.watch.during(a.since.Pos, a.now.Pos) {
			if n := a.about(num); n != nil {
				n.recount = recount
			}
		}
	}
	if !accountData {
		return nil
	}
	data, err := a.AccountData.Since(ctx, a.q.User, a.since.Pos, a.now.Pos)
	if err == nil && wishesChanged(data) {
		err = a.relist(ctx, moved)
	}
	a.sortData(data)
	return err
}

// about returns the news of a room that the user was in all the time since the
// last answer, nil if it is none such or the client does not want to know.
func (a *answer) about(num room.Num) *news {
	if n := a.rooms[num]; n != nil {
		return n
	}
	roomID, ok := a.watch.room(num, a.since.Pos, a.now.Pos)
	if !ok || !a.q.Filter.Room.AllowsRoom(roomID) {
		return nil
	}
	n := &news{num: num, id: roomID}
	a.rooms[num] = n
	return n
}

// typing finds the rooms in which it has changed who is typing. After a restart
// of the server nobody knows what the client was told last.
func (a *answer) typing() {
	restarted := a.since.Board != a.now.Board
	if !restarted && a.Board.Typed() <= a.since.Seq {
		return
	}
	for num := range a.watch.during(a.since.Pos, a.now.Pos) {
		if restarted || a.Board.Changed(num.Scope()) > a.since.Seq {
			if n := a.about(num); n != nil {
				n.typing = true
			}
		}
	}
}

// sortData gives account data to the rooms that it is about.
func (a *answer) sortData(data []accountdata.Data) {
	numbers := make(map[id.RoomID]*news, len(a.rooms))
	for _, n := range a.rooms {
		numbers[n.id] = n
	}
	var joined map[id.RoomID]room.Num
	for _, d := range data {
		if d.Room == "" {
			if a.q.Filter.AccountData.Match(d.Type, "") {
				a.accountData = append(a.accountData, typed(d.Type, d.Content))
			}
			continue
		}
		if !a.q.Filter.Room.AccountData.AllowsRoom(d.Room) || !a.q.Filter.Room.AccountData.Match(d.Type, "", d.Content) {
			continue
		}
		n := numbers[d.Room]
		if n == nil && a.since != (Token{}) {
			if joined == nil {
				joined = invert(a.watch.during(a.since.Pos, a.now.Pos))
			}
			if num, ok := joined[d.Room]; ok {
				n = a.about(num)
			}
		}
		if n != nil {
			n.data = append(n.data, d)
			numbers[d.Room] = n
		}
	}
}

func invert(rooms map[room.Num]id.RoomID) map[id.RoomID]room.Num {
	inverted := make(map[id.RoomID]room.Num, len(rooms))
	for num, roomID := range rooms {
		inverted[roomID] = num
	}
	return inverted
}

// tell makes the sections of the rooms that the user is in.
func (a *answer) tell(ctx context.Context) error {
	if len(a.rooms) == 0 {
		return nil
	}
	if err := a.beginAnew(ctx); err != nil {
		return err
	}
	if err := a.readReceipts(ctx); err != nil {
		return err
	}
	list := slices.SortedFunc(maps.Values(a.rooms), func(a, b *news) int { return strings.Compare(string(a.id), string(b.id)) })
	for some := range slices.Chunk(list, warmAtOnce) {
		ids := make([]id.RoomID, len(some))
		for i, n := range some {
			ids[i] = n.id
		}
		a.Rooms.Warm(ctx, ids)
		for _, n := range some {
			json, err := a.joined(ctx, n)
			if room.IsGone(err) {
				continue // it was deleted just now, after the position of the answer
			}
			if err != nil {
				return err
			}
			if json != nil {
				a.join = append(a.join, section{n.id, json})
			}
		}
	}
	return nil
}

// warmAtOnce is how many rooms are read at once: not so many that the first are forgotten
// before they are told of.
const warmAtOnce = 64

// beginAnew has those rooms told as a whole of which something was purged that the
// client was not told of: what it has does not reach up to what is left.
func (a *answer) beginAnew(ctx context.Context) error {
	if a.since == (Token{}) {
		return nil
	}
	for _, n := range a.rooms {
		if n.fresh || !n.events {
			continue
		}
		remembers, err := a.Rooms.Remembers(ctx, n.id, a.since.Pos)
		if err != nil && !room.IsGone(err) {
			return err
		}
		n.fresh = !remembers
	}
	return nil
}

// readReceipts reads what there is of receipts in all rooms at once.
func (a *answer) readReceipts(ctx context.Context) error {
	var all []room.Num
	var whole, some []int64
	for num, n := range a.rooms {
		all = append(all, num)
		switch {
		case n.fresh, a.relisted:
			whole = append(whole, int64(num))
		case n.receipts:
			some = append(some, int64(num))
		}
	}
	reads, err := a.Reads(ctx, a.q.User, all)
	if err != nil {
		return err
	}
	for num, r := range reads {
		a.rooms[num].reads = r
	}
	if len(whole) > 0 {
		said, err := a.Receipts.All(ctx, whole, a.q.User, a.now.Pos)
		if err != nil {
			return err
		}
		a.saidIn(said)
	}
	if len(some) == 0 {
		return nil
	}
	said, err := a.Receipts.Since(ctx, some, a.q.User, a.since.Pos, a.now.Pos)
	a.saidIn(said)
	return err
}

// Reads returns up to where a user has read rooms by receipts, as they count it, and
// of whom the user does not want to hear.
func (f *Feed) Reads(ctx context.Context, user id.UserID, rooms []room.Num) (map[room.Num]room.Reads, error) {
	nums := make([]int64, len(rooms))
	for i, num := range rooms {
		nums[i] = int64(num)
	}
	ignored, err := f.AccountData.Ignored(ctx, user)
	if err != nil {
		return nil, err
	}
	marks, err := f.Receipts.Marks(ctx, user, nums)
	if err != nil {
		return nil, err
	}
	reads := make(map[room.Num]room.Reads, len(rooms))
	for _, num := range rooms {
		r := readsOf(marks[int64(num)])
		if len(ignored) > 0 {
			r.Ignored = ignored
		}
		if r.Wanted, err = f.wanted(ctx, user, num); err != nil {
			return nil, err
		}
		reads[num] = r
	}
	return reads, nil
}

// wanted returns the threads of a room that a user subscribes to, nil if there are no
// rules about that.
func (f *Feed) wanted(ctx context.Context, user id.UserID, num room.Num) (room.Wanted, error) {
	if !f.ThreadRules {
		return nil, nil
	}
	roomID, err := f.Rooms.RoomID(ctx, num)
	if err != nil {
		return nil, err
	}
	return f.Subscriptions.In(ctx, user, roomID)
}

// readsOf is up to where a user has read a room, as the room counts it.
func readsOf(m receipt.Marks) room.Reads {
	r := room.Reads{All: markOf(m.All), Main: markOf(m.Main)}
	if len(m.Threads) > 0 {
		r.Threads = make(map[id.EventID]room.Mark, len(m.Threads))
	}
	for root, mark := range m.Threads {
		r.Threads[root] = markOf(mark)
	}
	return r
}

func markOf(m receipt.Mark) room.Mark {
	return room.Mark{
		Place: m.Place, Total: room.Total{Unread: m.Unread, Loud: m.Loud},
		Threaded: room.Total{Unread: m.ThreadedUnread, Loud: m.ThreadedLoud},
	}
}

func (a *answer) saidIn(said map[int64][]receipt.Receipt) {
	for num, list := range said {
		if len(a.ignored) > 0 {
			list = slices.DeleteFunc(list, func(r receipt.Receipt) bool { return a.ignored[r.User] })
		}
		a.rooms[room.Num(num)].said = list
	}
}

func (a *answer) lazyKey() lazyKey { return lazyKey{a.q.User, a.q.Device, a.q.Filter} }

// viewer returns how the client wants to see events of a room.
func (a *answer) viewer(membership func(int64) string) Viewer {
	return Viewer{
		User: a.q.User, Device: a.q.Device, Fields: a.q.Filter.EventFields, Federation: a.q.Filter.Federation,
		OmitRoomID: !a.q.stream, Membership: membership,
	}
}
