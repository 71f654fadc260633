package room

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// naivelySees applies the rules to the states before and after one event. The
// states are those of the room after each of its events.
func naivelySees(states []eventauth.MapState, user id.UserID, place int) bool {
	before := eventauth.MapState{}
	if place > 1 {
		before = states[place-2]
	}
	own := event.Tuple{Type: event.TypeMember, StateKey: string(user)}
	if was, is := before[own], states[place-1][own]; was == nil && is != nil || was != nil && (is == nil || is.ID() != was.ID()) {
		return true // what becomes of a user is for the user to see
	}
	later := joinsBehind(states, user, place)
	return naivelyAllows(before, user, later) || naivelyAllows(states[place-1], user, later)
}

func joinsBehind(states []eventauth.MapState, user id.UserID, place int) bool {
	return slices.ContainsFunc(states[place:], func(state eventauth.MapState) bool { return memberOf(state, user) == event.MembershipJoin })
}

// naivelyAllows applies the rules to one state.
func naivelyAllows(state eventauth.MapState, user id.UserID, joinsLater bool) bool {
	membership := memberOf(state, user)
	switch VisibilityOf(state[event.Tuple{Type: event.TypeHistoryVisibility}]) {
	case WorldReadable:
		return true
	case Shared:
		return joinsLater || membership == event.MembershipJoin
	case Invited:
		return membership == event.MembershipJoin || membership == event.MembershipInvite
	}
	return membership == event.MembershipJoin
}

// checkBeside asks whether a user may see an event that came beside what the room was:
// by the state before it, too. Where the one state allows it and the other does not,
// members see it or not.
func (n *node) checkBeside(s Sight, it Item, states []eventauth.MapState, user id.UserID) {
	n.t.Helper()
	if user.Server() != n.server {
		return // its own server decides
	}
	tuple, isState := it.Event.Tuple()
	if isState && (tuple == event.Tuple{Type: event.TypeMember, StateKey: string(user)} || tuple.Type == event.TypeHistoryVisibility) {
		return // it changes itself who sees it
	}
	later := joinsBehind(states, user, int(it.Place))
	before := eventauth.MapState{}
	for t, it := range n.stateAt(it.Event.RoomID(), Moment{Root: it.Before}) {
		before[t] = it.Event
	}
	now := states[it.Place-1]
	then, here, got := naivelyAllows(before, user, later), naivelyAllows(now, user, later), s.Sees(it.Place)
	if member := memberOf(now, user) == event.MembershipJoin; got && !then || !got && then && here && member && !s.Forgotten {
		n.t.Errorf("%s sees %s in place %d, beside others: %v; by the state before it %v, by that of the room %v; %s %s -> %s %s, %v", user, it.Event.ID(), it.Place, got, then, here, memberOf(before, user), VisibilityOf(before[event.Tuple{Type: event.TypeHistoryVisibility}]), memberOf(now, user), VisibilityOf(now[event.Tuple{Type: event.TypeHistoryVisibility}]), s)
	}
}

func memberOf(state eventauth.MapState, user id.UserID) string {
	if e := state[event.Tuple{Type: event.TypeMember, StateKey: string(user)}]; e != nil {
		return e.Membership()
	}
	return ""
}

// states returns the states of a room after each of its events.
func (n *node) states(roomID id.RoomID) (states []eventauth.MapState, roots []statetrie.Root) {
	n.t.Helper()
	for _, it := range n.items(roomID) {
		state := eventauth.MapState{}
		for t, it := range n.stateAt(roomID, Moment{Root: it.Current}) {
			state[t] = it.Event
		}
		states, roots = append(states, state), append(roots, it.Current)
	}
	return states, roots
}

// checkSight asks for each event whether a user may see it, and for the state.
func (n *node) checkSight(roomID id.RoomID, user id.UserID, states []eventauth.MapState, roots []statetrie.Root) Sight {
	n.t.Helper()
	s, err := n.Sight(ctx, roomID, user)
	if err != nil {
		n.t.Fatal(err)
	}
	last := len(states)
	for _, it := range n.items(roomID) {
		place := int(it.Place)
		if place > 1 && (it.Before != roots[place-2] || it.Merges) {
			n.checkBeside(s, it, states, user)
		} else if got, want := s.Sees(int64(place)), naivelySees(states, user, place) && !s.Forgotten; got != want {
			n.t.Errorf("%s sees place %d of %d: %v, want %v; %v", user, place, last, got, want, s)
		}
		want := memberOf(states[place-1], user)
		if want == "" {
			want = event.MembershipLeave
		}
		if got := s.MembershipAt(int64(place)); got != want {
			n.t.Errorf("%s was %q in place %d, want %q", user, got, place, want)
		}
	}
	now := states[last-1]
	visibility := VisibilityOf(now[event.Tuple{Type: event.TypeHistoryVisibility}])
	if s.Membership() != memberOf(now, user) || s.Visibility != visibility || s.At.Root != roots[last-1] {
		n.t.Errorf("%s is %q in a room that is %s, want %q and %s", user, s.Membership(), s.Visibility, memberOf(now, user), visibility)
	}
	n.checkStateRoot(roomID, user, s, states, roots)
	return s
}

func (n *node) checkStateRoot(roomID id.RoomID, user id.UserID, s Sight, states []eventauth.MapState, roots []statetrie.Root) {
	n.t.Helper()
	last := len(states) - 1
	want, ok := roots[last], true
	if memberOf(states[last], user) != event.MembershipJoin && s.Visibility != WorldReadable {
		for ok = false; last > 0 && !ok; last-- { // back to where the user left
			ok = memberOf(states[last-1], user) == event.MembershipJoin
			want = roots[last]
		}
		ok = ok && !s.Forgotten
	}
	got, err := n.StateRoot(ctx, roomID, s)
	if ok && (err != nil || got != want) || !ok && !errors.Is(err, mxerr.Forbidden) {
		n.t.Errorf("the state that %s may see is %s, %v; want %s, %v", user, got, err, want, ok)
	}
}

// TestWhatUsersSee lets people come and go in a room that changes who may see
// its history.
func TestWhatUsersSee(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		users := []id.UserID{alice, bob, carol, "@nobody:a.test"}
		for seed := range uint64(6) {
			t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
				n := start(t, db, Options{Memory: []int{0, 1}[seed%2]})
				random := rand.New(rand.NewPCG(seed, 3))
				pick := func(choices ...string) string { return choices[random.IntN(len(choices))] }
				busy := n.create(NewRoom{})
				for range 80 { // more than will happen in the other one
					n.send(busy, message(alice, "hi"))
				}
				roomID := n.create(NewRoom{State: []Draft{state("", event.TypeJoinRules, "", `{"join_rule":"public"}`)}})
				remembered := make(map[journal.Position][]Sight)
				for range 50 {
					user := users[1+random.IntN(2)]
					d := message(alice, "hi")
					switch random.IntN(6) {
					case 0:
						d = state(alice, event.TypeHistoryVisibility, "", `{"history_visibility":"`+pick("world_readable", "shared", "invited", "joined", "joined")+`"}`)
					case 1:
						d = state(user, event.TypeMember, string(user), `{"displayname":"`+pick("a", "b")+`","membership":"join"}`)
					case 2, 3:
						d = member(alice, user, pick("leave", "invite", "invite", "ban"))
					case 4:
						d = member(user, user, pick("join", "leave"))
					}
					if _, err := n.Send(ctx, roomID, d); err != nil && !errors.Is(err, mxerr.Forbidden) {
						t.Fatal(err)
					}
					if random.IntN(8) == 0 {
						if err := n.Forget(ctx, roomID, user); err != nil && !errors.Is(err, mxerr.Unknown) {
							t.Fatal(err)
						}
					}
					if random.IntN(3) == 0 {
						states, roots := n.states(roomID)
						var seen []Sight
						for _, user := range users {
							seen = append(seen, n.checkSight(roomID, user, states, roots))
						}
						remembered[n.journal.Head()] = seen
					}
				}
				n.forgetAll()
				for pos, seen := range remembered {
					for i, user := range users {
						got, err := n.SightAt(ctx, roomID, user, pos)
						if err != nil {
							t.Fatal(err)
						}
						both, err := n.SightsAt(ctx, []id.RoomID{busy, "!gone:a.test", roomID}, user, pos)
						if err != nil || len(both) != 2 || fmt.Sprintf("%+v", both[n.num(roomID)]) != fmt.Sprintf("%+v", got) {
							t.Errorf("what %s saw at %d is %+v by itself, and with other rooms %+v, %v", user, pos, got, both, err)
						}
						got.Forgotten = seen[i].Forgotten // that is as of now
						if got.At.Bumped == 0 {
							got.At.Bumped = seen[i].At.Bumped // it was long ago
						}
						if !reflect.DeepEqual(got, seen[i]) {
							t.Errorf("what %s saw at %d is\n%+v, was\n%+v", user, pos, got, seen[i])
						}
					}
				}
			})
		}
	})
}

func TestWhatIsPutIntoAGapDoesNotChangeWhatAUserWas(t *testing.T) {
	s := Sight{Memberships: []MembershipAt{
		{Place: 10, Pos: 5, Membership: "join"},
		{Place: 20, Membership: "leave"}, // by the state of another branch
		{Place: 30, Membership: "join"},
		{Place: 40, Pos: 9, Membership: "leave"},
	}}
	for pos, want := range map[journal.Position]string{4: "", 5: "join", 8: "join", 9: "leave"} {
		if got := s.MembershipAtPos(pos); got != want {
			t.Errorf("at %d: got %q, want %q", pos, got, want)
		}
	}
}

// TestOwnIsFoundWhereNoEventIs: what somebody was before an event that was put into a
// gap is noted in front of it.
func TestOwnIsFoundWhereNoEventIs(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		roomID := n.create(NewRoom{Preset: PublicChat})
		invite := n.eventByID(roomID, n.send(roomID, member(alice, bob, event.MembershipInvite)).EventID)
		it, _, err := n.Item(ctx, roomID, invite.ID())
		if err != nil {
			t.Fatal(err)
		}
		place := it.Place + 1
		err = n.db.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO sights (room, user_id, place, pos, event, value) VALUES ($1, $2, $3, 0, $4, 'invite')", n.num(roomID), bob, place, it.Num)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		own, ok, err := n.Own(ctx, roomID, bob, place)
		if err != nil || !ok || own.Event.ID() != invite.ID() || own.Place != place || own.Current != it.Current {
			t.Errorf("got %+v, %t, %v", own, ok, err)
		}
		if _, ok, err := n.Own(ctx, roomID, bob, place+1); ok || err != nil {
			t.Errorf("where nothing is noted: %t, %v", ok, err)
		}
	})
}
