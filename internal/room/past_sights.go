package room

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/statetrie"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// show gives an accepted event its place, and finds out what the state shown of the
// past is from there on.
func (p *past) show(ctx context.Context, m *entry, prev []stateres.Num) (err error) {
	r := p.room
	before, first := p.current, p.heads == nil
	p.heads = slices.DeleteFunc(p.heads, func(n stateres.Num) bool { return slices.Contains(prev, n) })
	p.heads = append(p.heads, m.num)
	p.heads = p.heads[max(0, len(p.heads)-mostBranches):]
	if m.current, err = r.statesAfter(ctx, p.heads); err != nil {
		return err
	}
	p.place++
	m.place, p.current = p.place, m.current
	if first {
		before = m.before
		p.left.place = p.place
		if err := p.begin(ctx, m.before); err != nil {
			return err
		}
	}
	own, isState := m.event.Tuple()
	if isState {
		n, err := statetrie.Get(ctx, r.nodes, m.before, statetrie.Key(own))
		if err != nil {
			return fmt.Errorf("reading the state of %s: %w", r.id, err)
		}
		m.replaces = stateres.Num(n)
	}
	won := !isState
	for c, err := range statetrie.Diff(ctx, r.nodes, before, m.current) {
		if err != nil {
			return fmt.Errorf("comparing states of %s: %w", r.id, err)
		}
		if isState && c.Key == statetrie.Key(own) && c.New == uint64(m.num) {
			won = true
		} else {
			m.merges = true
		}
		if err := p.see(ctx, c, p.place); err != nil {
			return err
		}
	}
	m.merges = m.merges || !won
	return nil
}

// see notes what a change of the state means for who may see what.
func (p *past) see(ctx context.Context, c statetrie.Change, place int64) error {
	s, ok, err := sightOf(c, func(n stateres.Num) (*event.Event, error) { return p.room.eventOrNil(ctx, n) })
	if ok && err == nil {
		s.place = place
		p.sights = append(p.sights, s)
	}
	return err
}

// sightOf is what a change of the state means for who may see what, without its place;
// ok is false if nothing.
func sightOf(c statetrie.Change, read func(stateres.Num) (*event.Event, error)) (s pastSight, ok bool, err error) {
	visibility := isVisibility(c.Key)
	if !visibility && (c.Type != event.TypeMember || !isUser(c.StateKey)) {
		return s, false, nil
	}
	e, err := read(stateres.Num(c.New))
	if err != nil {
		return s, false, err
	}
	if s.event = stateres.Num(c.New); visibility {
		s.value = string(VisibilityOf(e))
		return s, true, nil
	}
	s.user, s.value = id.UserID(c.StateKey), event.MembershipLeave
	if e == nil {
		s.event = stateres.Num(c.Old)
	} else if m := e.Membership(); m != "" {
		s.value = m
	}
	return s, true, nil
}

func isVisibility(k statetrie.Key) bool {
	return k == statetrie.Key{Type: event.TypeHistoryVisibility}
}

// A ground is what a state means for local users that is, about, the one before the first
// event: how it differs from what is shown before the gap. All of it is in the database,
// so that it can be found out while others use the room.
type ground struct {
	root  statetrie.Root
	turns map[statetrie.Key]groundTurn
}

// A groundTurn is what a piece of state was before the gap, and what that means which it is in
// the ground.
type groundTurn struct {
	was   uint64
	sight pastSight
}

// compare finds out what is known of the ground before others have to wait.
func (p *past) compare(ctx context.Context, list []bygone) error {
	p.ground = ground{root: p.earlier.Current, turns: make(map[statetrie.Key]groundTurn)}
	if len(list) > 0 && list[0].before != nil {
		p.ground.root = list[0].before.root
	}
	if p.ground.root == p.earlier.Current {
		return nil
	}
	g, nodes := p.room.engine, p.room.engine.committed(p.room.num)
	members, err := g.localMembers(ctx, p.room.num)
	if err != nil {
		return err
	}
	keys := []statetrie.Key{{Type: event.TypeHistoryVisibility}}
	for _, m := range members {
		keys = append(keys, statetrie.Key{Type: event.TypeMember, StateKey: string(m.user)})
	}
	for _, key := range keys {
		was, err := statetrie.Get(ctx, nodes, p.earlier.Current, key)
		if err != nil {
			return err
		}
		is, err := statetrie.Get(ctx, nodes, p.ground.root, key)
		if err != nil {
			return err
		}
		if was == is {
			continue
		}
		s, ok, err := sightOf(statetrie.Change{Key: key, Old: was, New: is}, func(n stateres.Num) (*event.Event, error) {
			if n == 0 {
				return nil, nil
			}
			return g.event(ctx, n, p.room.rules)
		})
		if err != nil {
			return err
		}
		if ok {
			p.ground.turns[key] = groundTurn{was, s}
		}
	}
	return nil
}

// begin notes, in the place in front of the first event, what the state before it
// means for local users. What it means for others would be too much, and only hides
// from them what they have themselves.
func (p *past) begin(ctx context.Context, root statetrie.Root) error {
	place := p.place - 1
	for c, err := range statetrie.Diff(ctx, p.room.nodes, p.ground.root, root) {
		if err != nil {
			return fmt.Errorf("comparing states of %s: %w", p.room.id, err)
		}
		if local := c.Type == event.TypeMember && isUser(c.StateKey) && id.UserID(c.StateKey).Server() == p.room.engine.server; !local && !isVisibility(c.Key) {
			continue
		}
		if t, ok := p.ground.turns[c.Key]; ok {
			c.Old = t.was
			delete(p.ground.turns, c.Key)
		}
		if c.Old == c.New {
			continue
		}
		if err := p.see(ctx, c, place); err != nil {
			return err
		}
	}
	p.sights = slices.Grow(p.sights, len(p.ground.turns))
	for _, t := range p.ground.turns {
		t.sight.place = place
		p.sights = append(p.sights, t.sight)
	}
	return p.beginVisibility(ctx, root, place)
}

// beginVisibility notes what the visibility is, if there is nothing earlier: by what is
// stored it need not be that.
func (p *past) beginVisibility(ctx context.Context, root statetrie.Root, place int64) error {
	if p.earlier.Event != nil || slices.ContainsFunc(p.sights, func(s pastSight) bool { return s.user == "" }) {
		return nil
	}
	key := statetrie.Key{Type: event.TypeHistoryVisibility}
	n, err := statetrie.Get(ctx, p.room.nodes, root, key)
	if err != nil {
		return err
	}
	return p.see(ctx, statetrie.Change{Key: key, Old: n, New: n}, place)
}

// join notes, in the place in front of the event behind the gap, how what is shown
// there differs from what was put here.
func (p *past) join(ctx context.Context) error {
	if p.heads == nil {
		return nil
	}
	for c, err := range statetrie.Diff(ctx, p.room.nodes, p.current, p.behind.Current) {
		if err != nil {
			return fmt.Errorf("comparing states of %s: %w", p.room.id, err)
		}
		if err := p.see(ctx, c, p.hole.place-1); err != nil {
			return err
		}
	}
	return nil
}

// findLookers finds the local members for whom it depends on what they were then which
// of the events they see. A /sync of theirs that has not told of the gap yet looks
// closer, as if their membership had changed. Who was told of nothing before the gap is
// told by that anyway.
func (p *past) findLookers(ctx context.Context) error {
	if p.earlier.Event == nil {
		return nil
	}
	is := &snapshot{ctx: ctx, room: p.room, root: p.room.row.root}
	for _, s := range p.sights {
		if s.user == "" || s.user.Server() != p.room.engine.server || slices.Contains(p.lookers, s.user) {
			continue
		}
		if e := is.StateEvent(event.Tuple{Type: event.TypeMember, StateKey: string(s.user)}); e != nil && e.Membership() == event.MembershipJoin {
			p.lookers = append(p.lookers, s.user)
		}
	}
	for _, m := range p.entries {
		for _, user := range m.hidden.users {
			if !slices.Contains(p.lookers, user) {
				p.lookers = append(p.lookers, user)
			}
		}
	}
	return is.fault
}

// leave finds out what is still missing.
func (p *past) leave(ctx context.Context) error {
	r := p.room
	if p.heads == nil {
		p.left.place = p.hole.place
	}
	seen := make(map[id.EventID]bool)
	add := func(ids []id.EventID) error {
		for _, eventID := range ids {
			if seen[eventID] {
				continue
			}
			seen[eventID] = true
			outlier, n, err := r.findOutlier(ctx, eventID)
			if err != nil {
				return err
			}
			switch missing := n == 0 || outlier; {
			case missing && p.hole.beneath.older[eventID]:
				p.handed = append(p.handed, eventID)
			case missing:
				p.left.missing = append(p.left.missing, eventID)
			}
		}
		return nil
	}
	for _, m := range p.entries {
		if err := add(m.event.PrevEvents()); err != nil {
			return err
		}
	}
	if p.hole.island {
		return nil
	}
	return add(p.hole.missing)
}
