package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
	"parley/matrix/stateres"
)

// The demonstration is a room on three servers that loses the link between
// two of them. Its clock starts at a fixed time and its keys come from the
// names of the servers, so that it prints the same each time.
const (
	alice id.UserID = "@alice:a.example"
	bob   id.UserID = "@bob:b.example"
	carol id.UserID = "@carol:c.example"
)

// room is the events of the demonstration and a name for each.
type room struct {
	rules *roomver.Rules
	out   io.Writer
	now   int64
	known []*event.Event
	names map[id.EventID]string
}

// branch is the room as one side of the split sees it.
type branch struct {
	room  *room
	state eventauth.MapState
	head  *event.Event
}

func demo(out io.Writer) error {
	rules, _ := roomver.Lookup(roomver.Default)
	r := &room{rules: rules, out: out, now: 1_700_000_000_000, names: make(map[id.EventID]string)}
	r.say("A room of version %s. Alice made it; Bob and Carol joined, each from a server of their own.\n", rules.Version)
	common := &branch{room: r, state: eventauth.MapState{}}
	for _, step := range opening() {
		if err := common.send(step); err != nil {
			return err
		}
	}
	r.say("\nThe link between a.example and b.example breaks. On Alice's side:\n")
	atA := common.fork()
	if err := atA.send(step{"alice takes Bob's power", alice, event.TypePowerLevels, "", `{"users":{}}`}); err != nil {
		return err
	}
	r.say("\nOn Bob's side, who cannot know:\n")
	atB := common.fork()
	for _, step := range []step{
		{"bob names the room", bob, "m.room.name", "", `{"name":"Bob's place"}`},
		{"bob bans Carol", bob, event.TypeMember, string(carol), `{"membership":"ban"}`},
	} {
		if err := atB.send(step); err != nil {
			return err
		}
	}
	r.say("\nThe link is back. Both servers have all events now and resolve the two states:\n")
	return r.heal(atA, atB)
}

// step is an event that somebody sends.
type step struct {
	name      string
	sender    id.UserID
	eventType string
	stateKey  string
	content   string
}

func opening() []step {
	return []step{
		{"alice creates the room", alice, event.TypeCreate, "", `{"room_version":"12"}`},
		{"alice joins", alice, event.TypeMember, string(alice), `{"membership":"join"}`},
		{"alice makes Bob a moderator", alice, event.TypePowerLevels, "", `{"users":{"@bob:b.example":50}}`},
		{"alice opens the room", alice, event.TypeJoinRules, "", `{"join_rule":"public"}`},
		{"bob joins", bob, event.TypeMember, string(bob), `{"membership":"join"}`},
		{"carol joins", carol, event.TypeMember, string(carol), `{"membership":"join"}`},
	}
}

func (r *room) say(format string, args ...any) { fmt.Fprintf(r.out, format, args...) }

func (b *branch) fork() *branch {
	return &branch{room: b.room, state: maps.Clone(b.state), head: b.head}
}

// send builds the event as the sender's server would, and checks it as any
// other server would.
func (b *branch) send(s step) error {
	r := b.room
	content := canonjson.Value(s.content)
	draft := eventauth.Draft{Type: s.eventType, StateKey: &s.stateKey, Sender: s.sender, Content: content}
	proto := event.Proto{
		Type: s.eventType, StateKey: &s.stateKey, Sender: s.sender, Content: content, OriginServerTS: r.now,
	}
	r.now += 1000
	if b.head != nil {
		proto.RoomID = b.head.RoomID()
		proto.Depth = b.head.Depth() + 1
		proto.PrevEvents = []event.Reference{b.head.Reference()}
	}
	for _, t := range draft.Selection(r.rules) {
		if e := b.state[t]; e != nil {
			proto.AuthEvents = append(proto.AuthEvents, e.Reference())
		}
	}
	server := s.sender.Server()
	e, err := proto.Build(r.rules, server, keyOf(server))
	if err != nil {
		return err
	}
	if err := b.check(e); err != nil {
		return err
	}
	b.state[event.Tuple{Type: s.eventType, StateKey: s.stateKey}] = e
	b.head = e
	r.known = append(r.known, e)
	r.names[e.ID()] = s.name
	r.say("  %s  %s\n", e.ID(), s.name)
	return nil
}

func (b *branch) check(e *event.Event) error {
	keys := func(server id.ServerName, _ id.KeyID) (event.VerifyKey, bool) {
		return event.VerifyKey{Public: keyOf(server).Public(), ValidUntil: canonjson.MaxInt}, true
	}
	received, err := event.NewVerifier(0).Receive(e, keys)
	if err != nil {
		return err
	}
	return eventauth.Check(received, b.state)
}

// keyOf returns the key of a server of the demonstration.
func keyOf(server id.ServerName) signing.Key {
	seed := sha256.Sum256([]byte(server))
	key, err := signing.NewKey("ed25519:demo", seed[:])
	if err != nil {
		panic(err)
	}
	return key
}

// heal resolves the states of two branches in both orders, and shows that both
// servers get the same root.
func (r *room) heal(a, b *branch) error {
	index, err := stateres.NewIndex(r.known, nil)
	if err != nil {
		return err
	}
	states := []map[event.Tuple]stateres.Num{a.nums(index), b.nums(index)}
	var roots []statetrie.Root
	var resolved map[event.Tuple]stateres.Num
	for range 2 {
		if resolved, err = stateres.ResolveMaps(r.rules, states, index); err != nil {
			return err
		}
		root, err := rootOf(resolved)
		if err != nil {
			return err
		}
		roots = append(roots, root)
		slices.Reverse(states)
	}
	if err := r.explain(resolved, b, index); err != nil {
		return err
	}
	if roots[0] != roots[1] {
		return errors.New("the servers came to different states")
	}
	r.say("\nThe state on both servers is %s.\n", roots[0])
	return nil
}

func (b *branch) nums(index *stateres.Index) map[event.Tuple]stateres.Num {
	nums := make(map[event.Tuple]stateres.Num, len(b.state))
	for t, e := range b.state {
		nums[t] = index.Num(e.ID())
	}
	return nums
}

func rootOf(state map[event.Tuple]stateres.Num) (statetrie.Root, error) {
	return statetrie.Build(context.Background(), new(statetrie.Memory), func(yield func(statetrie.Entry) bool) {
		for t, n := range state {
			if !yield(statetrie.Entry{Key: statetrie.Key(t), Number: uint64(n)}) {
				return
			}
		}
	})
}

// explain prints the resolved state, and for what one side lost, why.
func (r *room) explain(resolved map[event.Tuple]stateres.Num, lost *branch, index *stateres.Index) error {
	state := eventauth.MapState{}
	for _, n := range slices.Sorted(maps.Values(resolved)) {
		e, err := index.Event(n)
		if err != nil {
			return err
		}
		t, _ := e.Tuple()
		state[t] = e
		r.say("  %-22s %-18s %s\n", t.Type, t.StateKey, r.names[e.ID()])
	}
	r.say("\nWhat did not survive, and the rule that refuses it:\n")
	for _, e := range r.known {
		t, _ := e.Tuple()
		if lost.state[t] != e || state[t] == e {
			continue
		}
		var refusal *eventauth.Refusal
		if err := eventauth.Check(e, state); errors.As(err, &refusal) {
			r.say("  %s: rule %s, %s (%s)\n", r.names[e.ID()], refusal.Number, refusal.Rule, refusal.Detail)
		}
	}
	return nil
}
