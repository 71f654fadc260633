package room

import (
	"maps"
	"slices"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/stateres"
)

// handedEvent is an event as it is handed over.
type handedEvent struct {
	inState bool
	pdu     canonjson.Value
}

// gathered is a state, by where its events are here, that comes one by one.
func (s partialScene) gathered(list []handedEvent) (map[event.Tuple]stateres.Num, handedMembers) {
	s.t.Helper()
	r, err := s.b.Engine.room(ctx, s.room)
	if err != nil {
		s.t.Fatal(err)
	}
	x := s.b.gather(r)
	take := x.events(ctx)
	for _, h := range list {
		err := take(h.inState, h.pdu)
		if err == nil {
			err = x.handed.end(ctx)
		}
		if err == nil {
			err = x.store(ctx)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if err := x.end(ctx); err != nil {
		s.t.Fatal(err)
	}
	return x.state, x.members
}

func TestAStateMayComeInAnyOrder(t *testing.T) {
	again := func(s partialScene) { s.a.send(s.room, join(someone(1))) } // which cites the join before
	eachPartial(t, again, func(s partialScene) {
		r, err := s.b.Engine.room(ctx, s.room)
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := s.b.readPartial(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		joined, err := s.b.Engine.event(ctx, p.join, r.rules)
		if err != nil {
			t.Fatal(err)
		}
		var list []handedEvent
		err = s.State(ctx, "a.test", s.room, joined.ID(), func(inState bool, pdu canonjson.Value) error {
			list = append(list, handedEvent{inState, pdu})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		twice := slices.Concat(list, list)
		slices.Reverse(list)
		backwards, members := s.gathered(list)
		if want := int64(crowd + 2); members.joined != want || len(members.list) != int(want) {
			t.Errorf("backwards there are %d members, %d of them joined, want %d", len(members.list), members.joined, want)
		}
		forwards, others := s.gathered(twice)
		if !maps.Equal(forwards, backwards) || others.joined != members.joined || len(others.list) != len(members.list) {
			t.Errorf("forwards it is %v with %d members, backwards %v with %d", forwards, len(others.list), backwards, len(members.list))
		}
		s.complete()
		same(s.t, s.room, s.a, s.b)
	})
}
