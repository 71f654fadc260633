package room

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// allow is a join rule that lets the members of rooms in.
func allow(rule string, rooms ...id.RoomID) Draft {
	conditions := []string{`{"type":"org.example.other"}`, `7`, `{"room_id":"nowhere","type":"m.room_membership"}`}
	for _, roomID := range rooms {
		conditions = append(conditions, fmt.Sprintf(`{"room_id":%q,"type":"m.room_membership"}`, roomID))
	}
	return state(alice, event.TypeJoinRules, "", `{"allow":[`+strings.Join(conditions, ",")+`],"join_rule":"`+rule+`"}`)
}

func TestRestrictedJoins(t *testing.T) {
	const nowhere id.RoomID = "!nowhere:b.test"
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		club, other := n.create(NewRoom{Preset: PublicChat}), n.create(NewRoom{Preset: PublicChat})
		n.send(club, join(bob))
		n.send(other, join(carol))
		rows := []struct {
			name    string
			rooms   []id.RoomID // of which members may join
			before  []Draft
			refused mxerr.Code
			via     id.UserID
		}{
			{"a member of the room", []id.RoomID{club}, nil, "", alice},
			{"a member of one of the rooms", []id.RoomID{other, club}, nil, "", alice},
			{"a member of a room beside one that is not known", []id.RoomID{nowhere, club}, nil, "", alice},
			{"no member", []id.RoomID{other}, nil, mxerr.Forbidden, ""},
			{"no member of any room", nil, nil, mxerr.Forbidden, ""},
			{"perhaps a member of a room that is not known", []id.RoomID{other, nowhere}, nil, mxerr.UnableToAuthoriseJoin, ""},
			{"no member, but invited", []id.RoomID{nowhere}, []Draft{member(alice, bob, "invite")}, "", ""},
			{"a member, but banned", []id.RoomID{club}, []Draft{member(alice, bob, "ban")}, mxerr.Forbidden, ""},
			{"a member, and only another may invite", []id.RoomID{club}, []Draft{
				member(alice, carol, "invite"), join(carol), member(alice, alice, "leave")}, "", carol},
			{"a member, and nobody may invite", []id.RoomID{club}, []Draft{
				member(alice, carol, "invite"), join(carol), levels(`{"invite":50}`), member(alice, alice, "leave")}, mxerr.UnableToGrantJoin, ""},
		}
		eachRestricted(t, func(t *testing.T, version roomver.Version, rule string) {
			for _, r := range rows {
				t.Run(r.name, func(t *testing.T) {
					roomID := n.create(NewRoom{Version: version, State: []Draft{allow(rule, r.rooms...)}})
					for _, d := range r.before {
						n.send(roomID, d)
					}
					sent, err := n.Join(ctx, roomID, by(bob))
					if r.refused != "" {
						if !errors.Is(err, r.refused) {
							t.Errorf("got %v, want %s", err, r.refused)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					if via, _ := n.eventByID(roomID, sent.EventID).AuthorisingUser(); via != r.via {
						t.Errorf("joined in the name of %q, want %q", via, r.via)
					}
					if again, err := n.Join(ctx, roomID, by(bob)); err != nil || again.EventID != "" {
						t.Errorf("joining again: %v, %v", again, err)
					}
					n.check(roomID)
				})
			}
		})
	})
}

func levels(content string) Draft { return state(alice, event.TypePowerLevels, "", content) }

func eachRestricted(t *testing.T, f func(t *testing.T, version roomver.Version, rule string)) {
	for rules := range roomver.Known() {
		if rules.Restricted {
			t.Run("version "+string(rules.Version), func(t *testing.T) { f(t, rules.Version, "restricted") })
		}
		if rules.KnockRestricted {
			t.Run("version "+string(rules.Version)+" with knocking", func(t *testing.T) { f(t, rules.Version, "knock_restricted") })
		}
	}
}

// TestNobodyLetsHimselfIn: in whose name somebody joins is for the server to
// say, which vouches for it with its signature.
func TestNobodyLetsHimselfIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		eachRestricted(t, func(t *testing.T, version roomver.Version, rule string) {
			roomID := n.create(NewRoom{Version: version, State: []Draft{allow(rule)}})
			claim := object(authorisedVia, canonjson.Text(string(alice))).With("displayname", canonjson.Text("Bob"))
			d := join(bob)
			d.Content = claim.With("membership", canonjson.Text("join"))
			if _, err := n.Send(ctx, roomID, d); !errors.Is(err, mxerr.Forbidden) {
				t.Errorf("sending a join: %v", err)
			}
			if _, err := n.Join(ctx, roomID, Move{Sender: bob, Content: claim}); !errors.Is(err, mxerr.Forbidden) {
				t.Errorf("joining: %v", err)
			}
			if _, err := n.Invite(ctx, roomID, Move{Sender: alice, Target: bob, Content: claim}); err != nil {
				t.Fatal(err)
			}
			if _, err := n.Join(ctx, roomID, Move{Sender: bob, Content: claim}); err != nil {
				t.Fatal(err)
			}
			if got := string(n.stateEvent(roomID, event.TypeMember, string(bob)).Content()); got != `{"displayname":"Bob","membership":"join"}` {
				t.Errorf("bob's member event says %s", got)
			}
		})
	})
}

// TestKnockingAtARestrictedRoom is for those whom the rule does not let in.
func TestKnockingAtARestrictedRoom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n := start(t, db, Options{})
		eachRestricted(t, func(t *testing.T, version roomver.Version, rule string) {
			roomID := n.create(NewRoom{Version: version, State: []Draft{allow(rule)}})
			_, err := n.Knock(ctx, roomID, by(bob))
			if knocks := rule == "knock_restricted"; knocks != (err == nil) || !knocks && !errors.Is(err, mxerr.Forbidden) {
				t.Errorf("knocking: %v", err)
			}
		})
	})
}

// TestARestrictedJoinIsAcceptedElsewhere, signed by the server of who let the
// user in.
func TestARestrictedJoinIsAcceptedElsewhere(t *testing.T) {
	storetest.EachKind(t, func(t *testing.T, fresh func() string) {
		eachRestricted(t, func(t *testing.T, version roomver.Version, rule string) {
			f := federate(t, rulesOf(t, version), fresh, 2, Options{})
			a, b := f.nodes[0], f.nodes[1]
			club := b.create(NewRoom{Creator: guest})
			d := allow(rule, club)
			d.Sender = admin(0)
			b.receiveAll(a.sent(f.roomID, d))
			sent, err := b.Join(ctx, f.roomID, by(guest))
			if err != nil {
				t.Fatal(err)
			}
			joined := b.eventByID(f.roomID, sent.EventID)
			if via, _ := joined.AuthorisingUser(); via != admin(1) {
				t.Errorf("joined in the name of %q", via)
			}
			a.receiveAll(joined)
		})
	})
}
