package room

import (
	"errors"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// by and of make moves.
func by(sender id.UserID) Move               { return Move{Sender: sender} }
func of(sender id.UserID, to id.UserID) Move { return Move{Sender: sender, Target: to} }

// TestMoves lets carol come into each relation to a room of alice, in which bob
// has no power, and has somebody do each thing to it.
func TestMoves(t *testing.T) {
	type engine = *Engine
	join := func(g engine, room id.RoomID) (Sent, error) { return g.Join(ctx, room, by(carol)) }
	leave := func(g engine, room id.RoomID) (Sent, error) { return g.Leave(ctx, room, by(carol)) }
	knock := func(g engine, room id.RoomID) (Sent, error) { return g.Knock(ctx, room, by(carol)) }
	of := func(sender id.UserID, do func(engine, id.RoomID, Move) (Sent, error)) func(engine, id.RoomID) (Sent, error) {
		return func(g engine, room id.RoomID) (Sent, error) { return do(g, room, Move{Sender: sender, Target: carol}) }
	}
	invite := func(g engine, room id.RoomID, m Move) (Sent, error) { return g.Invite(ctx, room, m) }
	kick := func(g engine, room id.RoomID, m Move) (Sent, error) { return g.Kick(ctx, room, m) }
	ban := func(g engine, room id.RoomID, m Move) (Sent, error) { return g.Ban(ctx, room, m) }
	unban := func(g engine, room id.RoomID, m Move) (Sent, error) { return g.Unban(ctx, room, m) }

	// What carol is in the end, or the code of the refusal, by what she was.
	type relations struct{ nothing, invited, joined, left, knocking, banned string }
	const no, nonsense = string(mxerr.Forbidden), string(mxerr.BadState)
	rows := []struct {
		name string
		do   func(engine, id.RoomID) (Sent, error)
		want relations
	}{
		{"she joins", join, relations{no, "join", "join", no, no, no}},
		{"she leaves", leave, relations{no, "leave", "leave", "leave", "leave", no}},
		{"she knocks", knock, relations{"knock", no, no, "knock", "knock", no}},
		{"alice invites her", of(alice, invite), relations{"invite", "invite", no, "invite", "invite", no}},
		{"bob invites her", of(bob, invite), relations{no, no, no, no, no, no}},
		{"alice kicks her", of(alice, kick), relations{no, "leave", "leave", no, "leave", no}},
		{"bob kicks her", of(bob, kick), relations{no, no, no, no, no, no}},
		{"alice bans her", of(alice, ban), relations{"ban", "ban", "ban", "ban", "ban", "ban"}},
		{"bob bans her", of(bob, ban), relations{no, no, no, no, no, no}},
		{"alice lifts the ban", of(alice, unban), relations{nonsense, nonsense, nonsense, nonsense, nonsense, "leave"}},
		{"bob lifts the ban", of(bob, unban), relations{nonsense, nonsense, nonsense, nonsense, nonsense, no}},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		for _, r := range rows {
			for was, want := range map[string]string{
				"": r.want.nothing, "invite": r.want.invited, "join": r.want.joined, "leave": r.want.left, "knock": r.want.knocking, "ban": r.want.banned,
			} {
				t.Run(r.name+" being "+was, func(t *testing.T) {
					roomID := n.relate(was)
					before := len(n.history(roomID))
					_, err := r.do(n.Engine, roomID)
					if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
						if string(refusal.Code) != want || n.memberships(carol)[roomID] != was {
							t.Errorf("refused with %s, want %s, and is now %q", refusal, want, n.memberships(carol)[roomID])
						}
						return
					}
					if got := n.memberships(carol)[roomID]; err != nil || got != want {
						t.Errorf("is now %q, %v; want %s", got, err, want)
					}
					if got := len(n.check(roomID)) - before; got > 1 || got == 1 && was == want {
						t.Errorf("%d events were sent", got)
					}
				})
			}
		}
		for name, do := range map[string]func() (Sent, error){
			"joining": func() (Sent, error) { return n.Join(ctx, "!nowhere:a.test", by(carol)) },
			"leaving": func() (Sent, error) { return n.Leave(ctx, "!nowhere:a.test", by(carol)) },
		} {
			if _, err := do(); !errors.Is(err, mxerr.NotFound) {
				t.Errorf("%s a room that is not there: %v", name, err)
			}
		}
	})
}

// relate makes a room that one may knock at, and carol what she is to be to it.
func (n *node) relate(membership string) id.RoomID {
	n.t.Helper()
	roomID := n.create(NewRoom{
		Invites: []id.UserID{bob}, Levels: canonjson.Value(`{"invite":50}`),
		State: []Draft{state("", event.TypeJoinRules, "", `{"join_rule":"knock"}`)},
	})
	moves := map[string][]Draft{
		"invite": {member(alice, carol, "invite")},
		"join":   {member(alice, carol, "invite"), join(carol)},
		"leave":  {member(alice, carol, "invite"), member(carol, carol, "leave")},
		"knock":  {member(carol, carol, "knock")},
		"ban":    {member(alice, carol, "ban")},
	}[membership]
	for _, d := range append([]Draft{join(bob)}, moves...) {
		n.send(roomID, d)
	}
	return roomID
}

func TestForgettingARoom(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		n := start(t, storetest.Open(t, location), Options{})
		pub := n.create(NewRoom{Preset: PublicChat})
		sees := func(want bool) {
			t.Helper()
			s, err := n.Sight(ctx, pub, bob)
			if err != nil {
				t.Fatal(err)
			}
			rooms, err := n.Rooms(ctx, bob)
			if err != nil {
				t.Fatal(err)
			}
			if s.Sees(2) != want || s.Forgotten == want || rooms[0].Forgotten == want {
				t.Errorf("bob sees it: %v, has forgotten it: %v and %v", s.Sees(2), s.Forgotten, rooms[0].Forgotten)
			}
			if _, err := n.StateRoot(ctx, pub, s); (err == nil) != want {
				t.Errorf("asking for the state: %v", err)
			}
		}
		cannot := func(room id.RoomID, user id.UserID) {
			t.Helper()
			if err := n.Forget(ctx, room, user); !errors.Is(err, mxerr.Unknown) {
				t.Errorf("forgetting: %v", err)
			}
		}
		forget := func() {
			t.Helper()
			before := n.journal.Head()
			if err := n.Forget(ctx, pub, bob); err != nil || n.journal.Head() != before+1 {
				t.Errorf("forgetting: %v, with %d entries", err, n.journal.Head()-before)
			}
		}
		cannot("!nowhere:a.test", bob)
		cannot(pub, bob)
		n.send(pub, join(bob))
		cannot(pub, bob)
		sees(true)
		if _, err := n.Leave(ctx, pub, by(bob)); err != nil {
			t.Fatal(err)
		}
		sees(true)
		forget()
		sees(false)
		n.stop()
		n.db.Close()
		n = start(t, storetest.Open(t, location), Options{})
		sees(false)
		if _, err := n.Join(ctx, pub, by(bob)); err != nil {
			t.Fatal(err)
		}
		sees(true)
		if _, err := n.Ban(ctx, pub, of(alice, bob)); err != nil {
			t.Fatal(err)
		}
		sees(true)
		forget()
		sees(false)
		n.check(pub)
	})
}

func TestUpdatingAMember(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		reason := Move{Sender: bob, Content: canonjson.Value(`{"displayname":"Bob","reason":"beer"}`)}
		if _, err := n.Join(ctx, roomID, reason); err != nil {
			t.Fatal(err)
		}
		update := func(user id.UserID, name string) {
			t.Helper()
			err := n.UpdateMember(ctx, roomID, user, func(content canonjson.Value) canonjson.Value {
				return content.With("displayname", canonjson.Text(name))
			})
			if err != nil {
				t.Error(err)
			}
		}
		member := func() string { return string(n.stateEvent(roomID, event.TypeMember, string(bob)).Content()) }
		joined := member()
		if update(bob, "Bob"); member() != joined {
			t.Errorf("nothing to change, and it is %s", member())
		}
		if update(bob, "Bobby"); member() != `{"displayname":"Bobby","membership":"join"}` {
			t.Errorf("it is %s", member())
		}
		if _, err := n.Leave(ctx, roomID, by(bob)); err != nil {
			t.Fatal(err)
		}
		update(bob, "Robert")
		update(carol, "Carol")
		if member() != `{"membership":"leave"}` || len(n.memberships(carol)) != 0 {
			t.Errorf("who is not in the room is %s, %v", member(), n.memberships(carol))
		}
	})
}
