package room

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/stateres"
)

// nodes is the tries of one room, with what of them was read or made in
// memory. It is the owner's: a live room uses it under its lock.
type nodes struct {
	db    *store.DB
	room  Num
	known map[statetrie.Address][]byte
	// uncommitted are nodes that are not known to be in the database yet, and so
	// cannot be forgotten.
	uncommitted map[statetrie.Address][]byte
	// fresh are those of them that were not handed to an append yet.
	fresh []statetrie.Node
	size  int // bytes of known
}

func newNodes(db *store.DB, room Num) *nodes {
	return &nodes{
		db: db, room: room,
		known:       make(map[statetrie.Address][]byte),
		uncommitted: make(map[statetrie.Address][]byte),
	}
}

// Load implements statetrie.Nodes.
func (n *nodes) Load(ctx context.Context, at []statetrie.Address, into [][]byte) error {
	var missing []int
	for i, a := range at {
		if into[i] = n.known[a]; into[i] == nil {
			into[i] = n.uncommitted[a]
		}
		if into[i] == nil {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return n.db.View(ctx, func(tx *store.Tx) error {
		for _, i := range missing {
			var b []byte
			err := tx.Row("SELECT node FROM state_nodes WHERE room = $1 AND address = $2", n.room, at[i]).Scan(&b)
			if errors.Is(err, store.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			into[i] = b
			n.keep(at[i], b)
		}
		return nil
	})
}

// Save implements statetrie.Store. The nodes are written by the append that
// needs them.
func (n *nodes) Save(_ context.Context, made []statetrie.Node) error {
	for _, node := range made {
		if n.known[node.Address] == nil && n.uncommitted[node.Address] == nil {
			n.uncommitted[node.Address] = node.Bytes
			n.fresh = append(n.fresh, node)
		}
	}
	return nil
}

// committed says that nodes are in the database.
func (n *nodes) committed(made []statetrie.Node) {
	for _, node := range made {
		delete(n.uncommitted, node.Address)
		n.keep(node.Address, node.Bytes)
	}
}

// forget drops what can be read again.
func (n *nodes) forget() {
	clear(n.known)
	n.size = 0
}

func (n *nodes) keep(at statetrie.Address, b []byte) {
	n.known[at] = b
	n.size += len(b) + len(at)
}

// snapshot is the state of a live room at one moment, as the authorization
// rules ask for it. It remembers the first fault, because they cannot be told.
type snapshot struct {
	ctx   context.Context
	room  *live
	root  statetrie.Root
	fault error
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
	if n == 0 {
		return nil
	}
	e, err := s.room.event(s.ctx, n)
	if err != nil && s.fault == nil {
		s.fault = err
	}
	return e
}
