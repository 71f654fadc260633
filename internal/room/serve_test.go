package room

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// checkServers holds the numbers of members by server against the members, in
// memory and in the database.
func (n *node) checkServers(roomID id.RoomID) {
	n.t.Helper()
	want := make(map[id.ServerName]int64)
	for t, it := range n.now(roomID) {
		if t.Type == event.TypeMember && it.Event.Membership() == event.MembershipJoin && isUser(t.StateKey) {
			want[id.UserID(t.StateKey).Server()]++
		}
	}
	r, err := n.room(ctx, roomID)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, where := range []string{"in memory", "in the database"} {
		all, err := n.serversOf(ctx, r.num)
		if err != nil {
			n.t.Fatal(err)
		}
		got := make(map[id.ServerName]int64)
		for server, p := range all {
			if p.joined != 0 {
				got[server] = p.joined
			}
		}
		if !maps.Equal(got, want) {
			n.t.Errorf("%s the servers of the room are %v, want %v", where, got, want)
		}
		n.servers.Clear()
	}
}

// served returns the IDs of what a server gets, and which of it is redacted.
func served(list []Served) (ids []id.EventID, redacted []bool) {
	for _, s := range list {
		ids = append(ids, s.ID)
		redacted = append(redacted, s.PDU.Get("content").Get("body") == nil)
	}
	return ids, redacted
}

func TestServersGetWhatTheirMembersMaySee(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		old := a.sent(f.roomID, message(admin(0), "for all"))
		hidden := a.sent(f.roomID, state(admin(0), event.TypeHistoryVisibility, "", `{"history_visibility":"joined"}`))
		b.receiveAll(old, hidden)
		gone := []*event.Event{b.sent(f.roomID, member(guest, guest, event.MembershipLeave)), b.sent(f.roomID, member(admin(1), admin(1), event.MembershipLeave))}
		a.receiveAll(gone...)
		if _, err := a.Serve(ctx, "b.test", old.ID()); !errors.Is(err, mxerr.NotFound) {
			t.Errorf("a server without members gets an event: %v", err)
		}
		if _, err := a.Backfill(ctx, f.roomID, "b.test", []id.EventID{old.ID()}, 10); !errors.Is(err, mxerr.Forbidden) {
			t.Errorf("a server without members gets events: %v", err)
		}
		secret := a.sent(f.roomID, message(admin(0), "while they are away"))
		b.receiveAll(secret)
		back := b.sent(f.roomID, join(guest))
		a.receiveAll(back)
		a.checkServers(f.roomID)
		now := a.sent(f.roomID, message(admin(0), "they are back"))
		got, err := a.Backfill(ctx, f.roomID, "b.test", []id.EventID{now.ID()}, 7)
		if err != nil {
			t.Fatal(err)
		}
		ids, redacted := served(got)
		want := []id.EventID{now.ID(), back.ID(), secret.ID(), gone[1].ID(), gone[0].ID(), hidden.ID(), old.ID()}
		if !slices.Equal(ids, want) {
			t.Fatalf("got %v, want %v", ids, want)
		}
		if redacted[0] || !redacted[2] || redacted[6] {
			t.Errorf("redacted: %v", redacted)
		}
		one, err := a.Serve(ctx, "b.test", secret.ID())
		if err != nil || one.PDU.Get("content").Get("body") != nil || one.PDU.Get("unsigned") != nil {
			t.Errorf("got %s, %v", one.PDU, err)
		}
	})
}

func TestMissingEventsAreThoseInBetween(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		var line []id.EventID
		for range 10 {
			line = append(line, a.sent(f.roomID, message(admin(0), "x")).ID())
		}
		get := func(limit int, minDepth int64) []id.EventID {
			got, err := a.MissingEvents(ctx, f.roomID, "b.test", line[9:], line[2:3], limit, minDepth)
			if err != nil {
				t.Fatal(err)
			}
			ids, _ := served(got)
			return ids
		}
		if got := get(20, 0); !slices.Equal(got, line[3:9]) {
			t.Errorf("got %v, want %v", got, line[3:9])
		}
		if got := get(2, 0); !slices.Equal(got, line[7:9]) {
			t.Errorf("of two got %v, want %v", got, line[7:9])
		}
		depth := a.eventByID(f.roomID, line[6]).Depth()
		if got := get(20, depth); !slices.Equal(got, line[6:9]) {
			t.Errorf("from a depth on got %v, want %v", got, line[6:9])
		}
	})
}

func TestServersGetStateWithItsAuthChain(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		at := a.sent(f.roomID, topic(admin(0), "old"))
		want := make(map[id.EventID]bool)
		for _, it := range a.now(f.roomID) {
			if it.Event.ID() != at.ID() {
				want[it.Event.ID()] = true
			}
		}
		a.send(f.roomID, topic(admin(0), "new"))
		s, err := a.ServeState(ctx, f.roomID, "b.test", at.ID())
		if err != nil {
			t.Fatal(err)
		}
		ids, err := a.EventIDs(ctx, s.State)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[id.EventID]bool)
		for _, eventID := range ids {
			got[eventID] = true
		}
		if !maps.Equal(got, want) {
			t.Errorf("the state is %v, want %v", got, want)
		}
		a.checkClosed(f.rules, f.roomID, s)
		chain, err := a.ServeAuthChain(ctx, f.roomID, "b.test", at.ID())
		if err != nil || len(chain) == 0 {
			t.Errorf("its auth chain is %v, %v", chain, err)
		}
		for _, ask := range []struct {
			server  id.ServerName
			eventID id.EventID
			want    mxerr.Code
		}{{"c.test", at.ID(), mxerr.Forbidden}, {"b.test", "$unknown", mxerr.NotFound}} {
			if _, err := a.ServeState(ctx, f.roomID, ask.server, ask.eventID); !errors.Is(err, ask.want) {
				t.Errorf("%v: %v", ask, err)
			}
			if _, err := a.ServeAuthChain(ctx, f.roomID, ask.server, ask.eventID); !errors.Is(err, ask.want) {
				t.Errorf("%v: %v", ask, err)
			}
		}
	})
}

// checkClosed checks that whatever authorises an event of a state or of its auth
// chain is in the chain, and comes first.
func (n *node) checkClosed(rules *roomver.Rules, roomID id.RoomID, s StateBefore) {
	n.t.Helper()
	if !slices.IsSorted(s.AuthChain) {
		n.t.Error("the auth chain is not in order")
	}
	known := make(map[id.EventID]bool)
	err := n.PDUs(ctx, roomID, s.AuthChain, func(pdu canonjson.Value) error {
		e, err := event.Parse(slices.Clone(pdu), rules)
		if err != nil {
			return err
		}
		for _, auth := range e.AuthEvents() {
			if !known[auth] {
				n.t.Errorf("%s comes before what authorises it", e.ID())
			}
		}
		known[e.ID()] = true
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	err = n.PDUs(ctx, roomID, s.State, func(pdu canonjson.Value) error {
		e, err := event.Parse(slices.Clone(pdu), rules)
		if err != nil {
			return err
		}
		for _, auth := range e.AuthEvents() {
			if !known[auth] {
				n.t.Errorf("%s is authorised by what is not in the chain", e.ID())
			}
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

func TestRejectedEventsAreServed(t *testing.T) {
	eachFederation(t, func(t *testing.T, f *federation, a, b *node) {
		e := f.build(a, message("@stranger:b.test", "hi"))
		a.receive(e, Rejected)
		got, err := a.Serve(ctx, "b.test", e.ID())
		if err != nil || got.ID != e.ID() {
			t.Errorf("got %v, %v", got, err)
		}
		if got.PDU.Get("content").Get("body") != nil {
			t.Error("it says something")
		}
	})
}
