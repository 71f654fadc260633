package room

import (
	"context"
	"errors"
	"slices"
	"testing"

	"parley/internal/remote"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// neighbours is servers that can ask each other, without a network.
type neighbours struct {
	t     *testing.T
	me    id.ServerName
	nodes map[id.ServerName]*node
	// broken is what they refuse to answer, and lost what no answer comes to.
	broken, lost map[string]bool
	asked        map[string]int
	// generous servers send of missing events also what is older.
	generous bool
}

var (
	errBroken = &remote.Refusal{Status: 404, Code: mxerr.NotFound, Message: "we do not have it"}
	errLost   = errors.New("no answer")
)

func (n *neighbours) ask(what string) error {
	n.asked[what]++
	switch {
	case n.lost[what]:
		return errLost
	case n.broken[what]:
		return errBroken
	}
	return nil
}

func (n *neighbours) Lookup(context.Context, []remote.Want) (event.Keys, error) {
	return func(server id.ServerName, _ id.KeyID) (event.VerifyKey, bool) {
		return event.VerifyKey{Public: keyOf(n.t, server).Public(), ValidUntil: canonjson.MaxInt}, true
	}, nil
}

func pdusOf(list []Served) (pdus []canonjson.Value) {
	for _, s := range list {
		pdus = append(pdus, s.PDU)
	}
	return pdus
}

func (n *neighbours) MissingEvents(ctx context.Context, server id.ServerName, roomID id.RoomID, q remote.Missing) ([]canonjson.Value, error) {
	if err := n.ask("missing"); err != nil {
		return nil, err
	}
	if n.generous {
		q.Earliest, q.MinDepth = nil, 0
	}
	served, err := n.nodes[server].MissingEvents(ctx, roomID, n.me, q.Latest, q.Earliest, q.Limit, q.MinDepth)
	return pdusOf(served), err
}

func (n *neighbours) Backfill(ctx context.Context, server id.ServerName, roomID id.RoomID, from []id.EventID, limit int) ([]canonjson.Value, error) {
	if err := n.ask("backfill"); err != nil {
		return nil, err
	}
	served, err := n.nodes[server].Backfill(ctx, roomID, n.me, from, limit)
	return pdusOf(served), err
}

func (n *neighbours) StateIDs(ctx context.Context, server id.ServerName, roomID id.RoomID, at id.EventID) (state, chain []id.EventID, err error) {
	if err := n.ask("state_ids"); err != nil {
		return nil, nil, err
	}
	s, err := n.nodes[server].ServeState(ctx, roomID, n.me, at)
	if err != nil {
		return nil, nil, err
	}
	if state, err = n.nodes[server].EventIDs(ctx, s.State); err != nil {
		return nil, nil, err
	}
	chain, err = n.nodes[server].EventIDs(ctx, s.AuthChain)
	return state, chain, err
}

func (n *neighbours) State(ctx context.Context, server id.ServerName, roomID id.RoomID, at id.EventID, each remote.Handed) error {
	if err := n.ask("state"); err != nil {
		return err
	}
	s, err := n.nodes[server].ServeState(ctx, roomID, n.me, at)
	if err != nil {
		return err
	}
	hand := func(inState bool) func(canonjson.Value) error {
		return func(pdu canonjson.Value) error { return each(inState, pdu) }
	}
	if err := n.nodes[server].PDUs(ctx, roomID, s.State, hand(true)); err != nil {
		return err
	}
	return n.nodes[server].PDUs(ctx, roomID, s.AuthChain, hand(false))
}

func (n *neighbours) Event(ctx context.Context, server id.ServerName, eventID id.EventID) (canonjson.Value, error) {
	if err := n.ask("event"); err != nil {
		return nil, err
	}
	s, err := n.nodes[server].Serve(ctx, n.me, eventID)
	return s.PDU, err
}

func (n *neighbours) EventAuth(ctx context.Context, server id.ServerName, roomID id.RoomID, eventID id.EventID) (chain []canonjson.Value, err error) {
	if err := n.ask("event_auth"); err != nil {
		return nil, err
	}
	nums, err := n.nodes[server].ServeAuthChain(ctx, roomID, n.me, eventID)
	if err != nil {
		return nil, err
	}
	err = n.nodes[server].PDUs(ctx, roomID, nums, func(pdu canonjson.Value) error {
		chain = append(chain, pdu)
		return nil
	})
	return chain, err
}

// eachApart runs f with two servers in one room, of which the second has missed
// what the first did since.
func eachApart(t *testing.T, f func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours)) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		for _, version := range []roomver.Version{"1", "6", "11", "12"} {
			t.Run("version "+string(version), func(t *testing.T) {
				n := &neighbours{t: t, me: "b.test", nodes: make(map[id.ServerName]*node), broken: make(map[string]bool), lost: make(map[string]bool), asked: make(map[string]int)}
				a := start(t, storetest.Open(t, fresh()), Options{Server: "a.test"})
				b := start(t, storetest.Open(t, fresh()), Options{Server: "b.test", Keys: n, Elsewhere: n})
				n.nodes["a.test"] = a
				roomID := a.create(NewRoom{Creator: admin(0), Version: version, Preset: PublicChat})
				b.arrives(handshake(a, b, roomID, guest))
				f(t, a, b, roomID, n)
			})
		}
	})
}

// from receives an event as its server sends it.
func (n *node) from(server id.ServerName, e *event.Event) Outcome {
	n.t.Helper()
	results, err := n.Check(ctx, e.Rules(), []canonjson.Value{slices.Clone(e.JSON())})
	if err != nil || results[0].Err != nil {
		n.t.Fatal(err, results[0].Err)
	}
	outcome, err := n.ReceiveFrom(ctx, server, results[0].Event)
	if err != nil {
		n.t.Fatal(err)
	}
	return outcome
}

func TestMissingEventsAreFetched(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		var missed []id.EventID
		for range 5 {
			missed = append(missed, a.send(roomID, message(admin(0), "you missed this")).EventID)
		}
		a.send(roomID, topic(admin(0), "and this"))
		a.send(roomID, join("@new:a.test"))
		if got := b.from("a.test", a.sent(roomID, message("@new:a.test", "hello"))); got != Accepted {
			t.Fatalf("got outcome %d", got)
		}
		same(t, roomID, a, b)
		if n.asked["state_ids"] != 0 {
			t.Error("a state was asked for though all events could be had")
		}
		for _, eventID := range missed {
			if _, ok, err := b.Item(ctx, roomID, eventID); err != nil || !ok {
				t.Errorf("%s is not there: %v", eventID, err)
			}
		}
	})
}

func TestWhatIsOlderThanTheMissingEventsIsNoNews(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		n.generous = true
		known := len(b.items(roomID))
		mine := b.sent(roomID, message(guest, "nobody hears me")) // a does not know this head of the room
		a.send(roomID, topic(admin(0), "you missed this"))
		if got := b.from("a.test", a.sent(roomID, message(admin(0), "hello"))); got != Accepted {
			t.Fatalf("got outcome %d", got)
		}
		a.receiveAll(mine)
		same(t, roomID, a, b)
		if got := len(b.items(roomID)) - known; got != 3 {
			t.Errorf("there are %d new events, want 3", got)
		}
	})
}

func TestHowARoomBeganIsNoNews(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		if got := b.from("a.test", a.stateEvent(roomID, event.TypeCreate, "")); got != Known {
			t.Errorf("got outcome %d", got)
		}
		b.forgetAll()
		if got := b.from("a.test", a.sent(roomID, message(admin(0), "hello"))); got != Accepted {
			t.Errorf("what follows has the outcome %d", got)
		}
		same(t, roomID, a, b)
	})
}

func TestWhereEventsAreLostTheStateIsFetched(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		n.broken["missing"] = true
		lost := a.send(roomID, message(admin(0), "lost")).EventID
		a.send(roomID, topic(admin(0), "new"))
		a.send(roomID, join("@new:a.test"))
		if got := b.from("a.test", a.sent(roomID, message("@new:a.test", "hello"))); got != Accepted {
			t.Fatalf("got outcome %d", got)
		}
		same(t, roomID, a, b)
		if _, ok, err := b.Item(ctx, roomID, lost); err != nil || ok {
			t.Errorf("what was lost is there: %v", err)
		}
		// From there on all is as ever.
		a.receiveAll(b.sent(roomID, message(guest, "I am back")))
		b.receiveAll(a.sent(roomID, message("@new:a.test", "so I see")))
		b.forgetAll()
		same(t, roomID, a, b)
	})
}

func TestWhatNobodyHasIsNotReceived(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		for _, what := range []string{"missing", "state_ids"} {
			n.broken[what] = true
		}
		a.send(roomID, message(admin(0), "lost"))
		e := a.sent(roomID, message(admin(0), "found"))
		if _, err := b.ReceiveFrom(ctx, "a.test", e); !errors.Is(err, errBroken) {
			t.Errorf("got %v", err)
		}
		clear(n.broken)
		// It has waited for what it lacked, and is received right behind that.
		if got := b.from("a.test", e); got != Known {
			t.Errorf("later: got outcome %d", got)
		}
		same(t, roomID, a, b)
	})
}

func TestWhoDoesNotAnswerIsAskedAgainLater(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		n.lost["missing"] = true
		missed := a.send(roomID, message(admin(0), "you missed this")).EventID
		e := a.sent(roomID, message(admin(0), "hello"))
		if _, err := b.ReceiveFrom(ctx, "a.test", e); !errors.Is(err, ErrSilent) {
			t.Errorf("got %v", err)
		}
		clear(n.lost)
		if got := b.from("a.test", e); got != Accepted {
			t.Errorf("later: got outcome %d", got)
		}
		if _, ok, err := b.Item(ctx, roomID, missed); err != nil || !ok {
			t.Errorf("what was missed is not there: %v", err)
		}
	})
}

func (n *neighbours) Make(context.Context, id.ServerName, string, id.RoomID, id.UserID, []roomver.Version) (remote.Template, error) {
	return remote.Template{}, errBroken
}

func (n *neighbours) Send(context.Context, id.ServerName, string, id.RoomID, id.EventID, canonjson.Value) (canonjson.Value, error) {
	return nil, errBroken
}

func (n *neighbours) Join(context.Context, id.ServerName, id.RoomID, id.EventID, canonjson.Value, remote.Handed) (remote.Joined, error) {
	return remote.Joined{}, errBroken
}

func (n *neighbours) Invite(context.Context, id.ServerName, id.RoomID, id.EventID, remote.Invite) (canonjson.Value, error) {
	return nil, errBroken
}

func (n *neighbours) Exchange(context.Context, id.ServerName, id.RoomID, canonjson.Value) error {
	return errBroken
}

func (n *neighbours) Sign(context.Context, id.ServerName, canonjson.Value, bool) (canonjson.Value, error) {
	return nil, errBroken
}

func TestWhatTheFetchedStateLacksDoesNotRejectForGood(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		for _, what := range []string{"missing", "event", "state"} {
			n.broken[what] = true
		}
		// What authorises an event is there, but not the rest of the state.
		a.send(roomID, state(admin(0), "m.room.name", "", `{"name":"lost"}`))
		a.send(roomID, message(admin(0), "lost"))
		e := a.sent(roomID, topic(admin(0), "news"))
		if outcome, err := b.ReceiveFrom(ctx, "a.test", e); err == nil && outcome == Rejected {
			t.Fatal("it is rejected for good")
		}
		n.broken["state"] = false
		if got := b.from("a.test", a.sent(roomID, topic(admin(0), "more news"))); got != Accepted {
			t.Errorf("got outcome %d", got)
		}
	})
}

func TestAStateIsNotTakenWithoutWhatIsLostOnTheWay(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		n.broken["missing"], n.lost["event"], n.lost["state"] = true, true, true
		a.send(roomID, topic(admin(0), "lost"))
		a.send(roomID, message(admin(0), "lost, too"))
		hello := a.sent(roomID, message(admin(0), "hello"))
		if outcome, err := b.ReceiveFrom(ctx, "a.test", hello); err == nil {
			t.Errorf("got outcome %d", outcome)
		}
		clear(n.lost)
		if got := b.from("a.test", hello); got != Accepted {
			t.Errorf("got outcome %d", got)
		}
		same(t, roomID, a, b)
	})
}

func TestAStateOfWhichOneEventCannotBeHadIsFetchedAsAWhole(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		n.broken["missing"], n.broken["event"] = true, true
		a.send(roomID, join("@new:a.test"))
		a.send(roomID, topic(admin(0), "new"))
		a.send(roomID, message(admin(0), "lost"))
		if got := b.from("a.test", a.sent(roomID, message("@new:a.test", "hello"))); got != Accepted {
			t.Fatalf("got outcome %d", got)
		}
		same(t, roomID, a, b)
	})
}

// TestTwoOfAServerArriveAtOnce has two users join who have been told how before
// either was in.
func TestTwoOfAServerArriveAtOnce(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, other id.RoomID, n *neighbours) {
		r, err := a.room(ctx, other)
		if err != nil {
			t.Fatal(err)
		}
		roomID := a.create(NewRoom{Creator: admin(0), Version: r.rules.Version, Preset: PublicChat})
		for _, arrival := range handshakes(a, b, roomID, guest, "@two:b.test") {
			b.arrives(arrival)
		}
		for _, user := range []id.UserID{guest, "@two:b.test"} {
			if got, err := b.Membership(ctx, roomID, user); err != nil || got != event.MembershipJoin {
				t.Errorf("%s is %q: %v", user, got, err)
			}
		}
		same(t, roomID, a, b)
	})
}

// TestWhatAnotherNodePlacesIsNoOutlier has one node of a server put an event into its
// place of which another has read that the place is not known, and that receive an event
// which follows it.
func TestWhatAnotherNodePlacesIsNoOutlier(t *testing.T) {
	eachApart(t, func(t *testing.T, a, b *node, roomID id.RoomID, n *neighbours) {
		other := start(t, b.db, Options{Server: "b.test", Keys: n, Elsewhere: n})
		levels := a.stateEvent(roomID, event.TypePowerLevels, "")
		hello := message(admin(0), "hello")
		other.receiveAll(a.sent(roomID, hello)) // the levels authorise it
		b.fillAll(roomID)
		f := &federation{t: t, rules: levels.Rules(), roomID: roomID}
		other.receive(f.build(a, message(admin(0), "after the levels"), levels), Accepted)
	})
}
