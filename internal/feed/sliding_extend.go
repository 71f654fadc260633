package feed

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"parley/internal/accountdata"
	"parley/internal/e2ee"
	"parley/internal/journal"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// inScope reports whether an extension is to tell of a room, which the client must
// know of.
func (a *slidingAnswer) inScope(s *scope, num room.Num) bool {
	if !s.has(a.matches[num]) {
		return false
	}
	_, ok := a.sent(num)
	return ok
}

// extend adds what extensions tell of rooms and of the user.
func (a *slidingAnswer) extend(ctx context.Context) error {
	if err := a.extendData(ctx); err != nil {
		return err
	}
	if err := a.extendReceipts(ctx); err != nil {
		return err
	}
	a.extendTyping()
	if err := a.extendThreads(ctx); err != nil {
		return err
	}
	return a.extendSticky(ctx)
}

func (a *slidingAnswer) add(name string, json []byte) {
	a.response.extensions = append(a.response.extensions, extension{name: name, json: json})
}

// extendData tells of account data.
// https://github.com/matrix-org/matrix-spec-proposals/pull/3959
func (a *slidingAnswer) extendData(ctx context.Context) (err error) {
	s := &a.req.accountData
	var late []room.Num // rooms of which the client does not have all up to the token
	for num := range a.matches {
		if t, _ := a.sent(num); a.inScope(s, num) && t.data != reachAll {
			late = append(late, num)
		}
	}
	var all []accountdata.Data
	if s.on && a.initial() || len(late) > 0 {
		if all, err = a.AccountData.All(ctx, a.req.User, a.now.Pos); err != nil {
			return err
		}
	}
	var global []canonjson.Value
	rooms := make(map[id.RoomID][]canonjson.Value)
	take := func(list []accountdata.Data, wholly bool) {
		for _, d := range list {
			switch m := a.roster.byID[d.Room]; {
			case d.Room == "":
				if s.on && wholly == a.initial() {
					global = append(global, typed(d.Type, d.Content))
				}
			case m == nil:
			case wholly == slices.Contains(late, m.Room) && a.inScope(s, m.Room):
				rooms[d.Room] = append(rooms[d.Room], typed(d.Type, d.Content))
			case !wholly && !a.inScope(s, m.Room):
				a.leaveData(m.Room)
			}
		}
	}
	take(a.data, false)
	take(all, true)
	for _, num := range late {
		t, _ := a.sent(num)
		t.data = reachAll
		a.put(num, t)
	}
	if len(global)+len(rooms) == 0 {
		return nil
	}
	var b byRoom
	for _, roomID := range slices.Sorted(maps.Keys(rooms)) {
		b.add(roomID, listOf(rooms[roomID]))
	}
	a.add(s.name, newObject().events("global", global).raw("rooms", b.json()).end())
	return nil
}

// leaveData notes up to where the client has the account data of a room.
func (a *slidingAnswer) leaveData(num room.Num) {
	if t, ok := a.sent(num); ok && t.data == reachAll {
		t.data = reachTo(a.since.Pos)
		a.put(num, t)
	}
}

// extendReceipts tells who has read what. Of a room that the client gets to know
// these are the receipts at the events that it is told of, and the user's own.
// https://github.com/matrix-org/matrix-spec-proposals/pull/3960
func (a *slidingAnswer) extendReceipts(ctx context.Context) error {
	s := &a.req.receipts
	a.relistReceipts()
	var whole []int64 // rooms of which the client gets to know events of before
	behind := make(map[journal.Position][]int64)
	for num, m := range a.matches {
		t, _ := a.sent(num)
		if !a.inScope(s, num) || !m.room.is(event.MembershipJoin) || t.membership.String() != event.MembershipJoin {
			continue
		}
		shown, c := a.timelines[num], a.changes[num]
		if t.receipts == reachNone || shown != nil && shown.older {
			whole = append(whole, int64(num))
		}
		if from := t.receipts.from(a.since.Pos); t.receipts != reachNone && (t.receipts != reachAll || c != nil && c.receipts) {
			behind[from] = append(behind[from], int64(num))
		}
	}
	for num, c := range a.changes {
		if t, ok := a.sent(num); ok && c.receipts && t.receipts == reachAll && !a.inScope(s, num) {
			t.receipts = reachTo(a.since.Pos)
			a.put(num, t)
		}
	}
	told := make(map[int64][]receipt.Receipt)
	for after, rooms := range behind {
		found, err := a.Receipts.Since(ctx, rooms, a.req.User, after, a.now.Pos)
		if err != nil {
			return err
		}
		maps.Copy(told, found)
		a.haveReceipts(rooms)
	}
	if err := a.wholeReceipts(ctx, whole, told); err != nil {
		return err
	}
	var b byRoom
	for _, num := range slices.Sorted(maps.Keys(told)) {
		list := slices.DeleteFunc(told[num], func(r receipt.Receipt) bool { return a.ignored[r.User] })
		if contents := receipt.Contents(list); len(contents) > 0 {
			// There is room for one event. What is left out are receipts for threads at
			// an event where the same user has one for all of them.
			b.add(a.matches[room.Num(num)].room.RoomID, typed("m.receipt", contents[0]))
		}
	}
	if len(b.sections) > 0 {
		a.add(s.name, newObject().raw("rooms", b.json()).end())
	}
	return nil
}

// relistReceipts has all receipts of the rooms that the client has told anew, as those
// of somebody who is not ignored any more are news.
func (a *slidingAnswer) relistReceipts() {
	if !a.relisted {
		return
	}
	for num := range a.conn.told.rooms {
		if t, _ := a.sent(num); t.receipts != reachNone {
			t.receipts = reachTo(0)
			a.put(num, t)
		}
	}
}

// wholeReceipts adds the receipts at events of before that the client gets to know.
func (a *slidingAnswer) wholeReceipts(ctx context.Context, rooms []int64, told map[int64][]receipt.Receipt) error {
	if len(rooms) == 0 {
		return nil
	}
	all, err := a.Receipts.All(ctx, rooms, a.req.User, a.now.Pos)
	if err != nil {
		return err
	}
	for _, num := range rooms {
		shown := a.timelines[room.Num(num)]
		for _, r := range all[num] {
			if own := r.User == a.req.User; (own || shown != nil && shown.events[r.EventID]) && !slices.Contains(told[num], r) {
				told[num] = append(told[num], r)
			}
		}
	}
	a.haveReceipts(rooms)
	return nil
}

func (a *slidingAnswer) haveReceipts(rooms []int64) {
	for _, num := range rooms {
		t, _ := a.sent(room.Num(num))
		t.receipts = reachAll
		a.put(room.Num(num), t)
	}
}

// extendTyping tells who is typing: in a room that the request was not about before,
// if anybody is; in others, if that has changed.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4508
func (a *slidingAnswer) extendTyping() {
	s := &a.req.typing
	if !s.on {
		return
	}
	// A request that waits has told nothing since it came, and rooms go and come
	// meanwhile.
	told := a.slide.from.token
	anybody := told != (Token{}) && (told.Board != a.now.Board || a.Board.Typed() > told.Seq)
	var b byRoom
	for _, st := range a.roster.order {
		num := st.Room
		if t, _ := a.sent(num); !a.inScope(s, num) || !st.is(event.MembershipJoin) || t.membership.String() != event.MembershipJoin {
			continue
		}
		before, known := a.conn.told.rooms[num]
		entered := a.relisted || !a.conn.memory.shown[num] || before.membership.String() != event.MembershipJoin
		changed := anybody && (told.Board != a.now.Board || a.Board.Changed(num.Scope()) > told.Seq)
		if !entered && !changed {
			continue
		}
		typing := slices.DeleteFunc(a.Board.Typing(num.Scope()), func(user id.UserID) bool { return a.ignored[user] })
		// A room that the client knew may have come back, and somebody ceased to type
		// meanwhile.
		if len(typing) == 0 && !changed && !known {
			continue
		}
		content := listOf(texts(typing))
		b.add(st.RoomID, typed("m.typing", newObject().raw("user_ids", content).end()))
	}
	if len(b.sections) > 0 {
		a.add(s.name, newObject().raw("rooms", b.json()).end())
	}
}

func texts(users []id.UserID) (list []canonjson.Value) {
	for _, user := range users {
		list = append(list, canonjson.Text(string(user)))
	}
	return list
}

func listOf(values []canonjson.Value) canonjson.Value {
	dst := []byte{'['}
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, v...)
	}
	return append(dst, ']')
}

// lister returns what finds whose devices and profiles are news, which is made once.
func (a *slidingAnswer) lister() *lister {
	if a.finder == nil {
		a.finder = a.answer.lister(a.entries)
	}
	return a.finder
}

// extendDevice adds what extensions tell of the device.
func (a *slidingAnswer) extendDevice(ctx context.Context) error {
	if a.req.Device == "" {
		return nil
	}
	if err := a.extendToDevice(ctx); err != nil {
		return err
	}
	return a.extendKeys(ctx)
}

// extendToDevice tells the device what is sent to it.
// https://github.com/matrix-org/matrix-spec-proposals/pull/3885
func (a *slidingAnswer) extendToDevice(ctx context.Context) error {
	q := &a.req.toDevice
	if !q.on || a.ToDevice == nil {
		return nil
	}
	messages, told, err := a.ToDevice.Read(ctx, a.req.User, a.req.Device, a.mail, a.now.Pos, q.limit)
	if err != nil {
		return err
	}
	json := newObject().events("events", messages).text("next_batch", a.formatMark(mailMark, told)).end()
	a.response.extensions = append(a.response.extensions, extension{name: "to_device", json: json, quiet: len(messages) == 0})
	return nil
}

// Extensions with a token of their own: up to where a device was told what is sent to
// it, and up to where a client was told of sticky events.
const (
	mailMark   = "d1"
	stickyMark = "s1"
)

// formatMark returns the token of up to where a client was told something.
func (f *Feed) formatMark(mark string, told journal.Position) string {
	return mark + "_" + f.Journal.Epoch() + "_" + strconv.FormatInt(int64(told), 10)
}

// parseMark reads what formatMark wrote. Of another epoch, as after a restore, it says
// nothing.
func (f *Feed) parseMark(mark, s string) (journal.Position, error) {
	if s == "" {
		return 0, nil
	}
	parts := strings.Split(s, "_")
	if len(parts) == 3 && parts[0] == mark {
		if pos, err := strconv.ParseInt(parts[2], 10, 64); err == nil && pos >= 0 {
			if parts[1] != f.Journal.Epoch() || journal.Position(pos) > f.Journal.Head() {
				return 0, nil
			}
			return journal.Position(pos), nil
		}
	}
	return 0, mxerr.New(mxerr.InvalidParam, "The token is not one that this server gave out")
}

// extendKeys tells whose devices are news, and what the device has left of keys, which
// it is always told. At the start of a connection the client takes it that all
// devices are.
// https://github.com/matrix-org/matrix-spec-proposals/pull/3884
func (a *slidingAnswer) extendKeys(ctx context.Context) (err error) {
	if !a.req.e2ee || a.Keys == nil {
		return nil
	}
	var lists DeviceLists
	if a.DeviceLists != nil && !a.initial() {
		if lists, err = a.lister().devices(ctx); err != nil {
			return err
		}
	}
	counted, signed := false, false
	for _, e := range a.entries {
		counted = counted || e.Kind == journal.KindOneTimeKeys && e.Ref == e2ee.Ref(a.req.Device)
		signed = signed || e.Kind == journal.KindSignature
	}
	if signed {
		users, err := a.Keys.Signed(ctx, a.req.User, a.since.Pos, a.now.Pos)
		if err != nil {
			return err
		}
		lists.addChanged(users)
	}
	counts, err := a.Keys.Counts(ctx, a.req.User, a.req.Device)
	if err != nil {
		return err
	}
	json := []byte{'{'}
	if counts != nil {
		json = appendKeyCounts(json, counts)
	}
	json = append(lists.append(append(json, `"device_lists":`...)), '}')
	quiet := !counted && len(lists.Changed)+len(lists.Left) == 0
	a.response.extensions = append(a.response.extensions, extension{name: "e2ee", json: json, quiet: quiet})
	return nil
}
