package room

import (
	"context"
	"fmt"

	"parley/internal/statetrie"
	"parley/matrix/event"
	"parley/matrix/stateres"
)

// nodes is the tries of one room. Nodes that are in the database are shared with
// everybody through the engine's cache; those that wait for their commit belong
// to a live room, under its lock.
type nodes struct {
	engine *Engine
	room   Num
	// uncommitted are nodes that are not known to be in the database yet; nil
	// for who only reads what is committed.
	uncommitted map[statetrie.Address][]byte
	// fresh are those of them that were not handed to an append yet.
	fresh []statetrie.Node
}

// nodeKey names a node in the engine's cache.
type nodeKey struct {
	room    Num
	address statetrie.Address
}

// committed returns the committed tries of a room, for reading. They need no
// lock.
func (g *Engine) committed(room Num) *nodes { return &nodes{engine: g, room: room} }

// Load implements statetrie.Nodes.
func (n *nodes) Load(ctx context.Context, at []statetrie.Address, into [][]byte) error {
	var missing []statetrie.Address
	var places []int
	for i, a := range at {
		if into[i] = n.uncommitted[a]; into[i] != nil {
			continue
		}
		if b, ok := n.engine.nodes.Get(nodeKey{n.room, a}); ok {
			into[i] = b
			continue
		}
		missing, places = append(missing, a), append(places, i)
	}
	if len(missing) == 0 {
		return nil
	}
	read := make([][]byte, len(missing))
	if err := (storedNodes{n.engine.db, n.room}).Load(ctx, missing, read); err != nil {
		return err
	}
	for i, b := range read {
		if b != nil {
			into[places[i]] = b
			n.engine.nodes.Put(nodeKey{n.room, missing[i]}, b)
		}
	}
	return nil
}

// Save implements statetrie.Store. The nodes are written by the append that
// needs them, those again that are there already: they may be about to be swept,
// because nobody needed them any more.
func (n *nodes) Save(_ context.Context, made []statetrie.Node) error {
	for _, node := range made {
		if n.uncommitted[node.Address] != nil {
			continue
		}
		n.uncommitted[node.Address] = node.Bytes
		n.fresh = append(n.fresh, node)
	}
	return nil
}

// settled says that nodes are in the database.
func (n *nodes) settled(made []statetrie.Node) {
	for _, node := range made {
		delete(n.uncommitted, node.Address)
		n.engine.nodes.Put(nodeKey{n.room, node.Address}, node.Bytes)
	}
}

// snapshot is a state of a live room, as the authorization rules ask for it. It
// remembers the first fault, because they cannot be told. It is used under the
// room's lock.
type snapshot struct {
	ctx   context.Context
	room  *live
	root  statetrie.Root
	fault error
	// lent is events that stand in for members whom the room does not know yet: what
	// authorises an event says who its sender is.
	lent []*event.Event
}

// num returns the number of the event in a place, 0 when there is none.
func (s *snapshot) num(t event.Tuple) stateres.Num {
	n, err := statetrie.Get(s.ctx, s.room.nodes, s.root, statetrie.Key(t))
	if err != nil && s.fault == nil {
		s.fault = fmt.Errorf("reading the state of %s: %w", s.room.id, err)
	}
	return stateres.Num(n)
}

// StateEvent implements eventauth.State.
func (s *snapshot) StateEvent(t event.Tuple) *event.Event {
	n := s.num(t)
	if n == 0 && s.room.row.whole == notWhole {
		return lentMember(s.lent, t)
	}
	if n == 0 {
		return nil
	}
	e, err := s.room.event(s.ctx, n)
	if err != nil && s.fault == nil {
		s.fault = err
	}
	return e
}
