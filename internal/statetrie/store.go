package statetrie

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"sync"
)

// Address is what a node is stored under: the first bytes of the SHA-256 of
// its bytes. The zero value addresses nothing.
type Address [16]byte

// String returns a in hexadecimal.
func (a Address) String() string { return hex.EncodeToString(a[:]) }

func addressOf(node []byte) Address {
	sum := sha256.Sum256(node)
	return Address(sum[:])
}

// Root stands for one state of one room: it is the address of the trie's
// uppermost node. Roots of one room are equal exactly if the states are. The
// zero value is the empty state, which needs no node.
type Root Address

// String returns r in hexadecimal.
func (r Root) String() string { return Address(r).String() }

// Nodes reads the nodes of one room.
//
// Where an operation is called by several goroutines at once, their Nodes must
// allow it.
type Nodes interface {
	// Load sets into[i] to the bytes stored under at[i], and to nil if there
	// are none: that is no error of Load. Both slices have the same length and
	// are valid during the call only. The bytes are only read, and must not
	// change afterwards.
	Load(ctx context.Context, at []Address, into [][]byte) error
}

// Store also writes them.
type Store interface {
	Nodes
	// Save stores nodes, and leaves alone those that are stored already. A
	// child comes before its parent, in the same call or an earlier one. The
	// store may keep the bytes, but not the slice. What was saved must be
	// durable no later than a root that is committed after it.
	Save(ctx context.Context, nodes []Node) error
}

// Node is a node to be stored.
type Node struct {
	Address Address
	Bytes   []byte
}

// Faults of a store, to be found with errors.Is.
var (
	ErrMissing = errors.New("missing")
	ErrCorrupt = errors.New("corrupt")
)

// Chunk sizes: the most nodes in one call of Load or Save.
const (
	loadChunk = 256
	saveChunk = 256
)

// reader is one operation's access to the nodes.
type reader struct {
	ctx    context.Context
	nodes  Nodes
	pathOf func(Key) path
}

// load fetches nodes and checks them against their addresses, so that what
// rotted on a disk is not served as a state.
func (r *reader) load(at []Address, into [][]byte) error {
	if err := r.nodes.Load(r.ctx, at, into); err != nil {
		return fmt.Errorf("loading %d state nodes from %s on: %w", len(at), at[0], err)
	}
	for i, b := range into {
		if b == nil {
			return fmt.Errorf("state node %s: %w", at[i], ErrMissing)
		}
		if got := addressOf(b); got != at[i] {
			return fmt.Errorf("state node %s: %w: its bytes belong to %s", at[i], ErrCorrupt, got)
		}
	}
	return nil
}

// node is parse with the address in the error. The node stands at the given
// depth, which bounds what its prefix may be.
func (r *reader) node(at Address, b []byte, depth int) (node, error) {
	n, err := parse(b)
	if err == nil && !n.leaf && depth+len(n.prefix) >= pathDigits {
		err = fmt.Errorf("branch at digit %d of %d", depth+len(n.prefix), pathDigits)
	}
	if err != nil {
		return node{}, fmt.Errorf("state node %s: %w: %w", at, ErrCorrupt, err)
	}
	return n, nil
}

// fetch loads and parses single nodes, keeping its two slices between them.
type fetch struct {
	*reader
	at   [1]Address
	into [1][]byte
}

func (f *fetch) one(at Address, depth int) (node, error) {
	f.at[0], f.into[0] = at, nil
	if err := f.load(f.at[:], f.into[:]); err != nil {
		return node{}, err
	}
	return f.node(at, f.into[0], depth)
}

// Memory is a Store in memory, for tests and tools. The zero value is empty
// and ready. It may be used by several goroutines at once.
type Memory struct {
	mu    sync.RWMutex
	nodes map[Address][]byte
}

// Load implements Nodes.
func (m *Memory) Load(_ context.Context, at []Address, into [][]byte) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i, a := range at {
		into[i] = m.nodes[a]
	}
	return nil
}

// Save implements Store.
func (m *Memory) Save(_ context.Context, nodes []Node) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes == nil {
		m.nodes = make(map[Address][]byte)
	}
	for _, n := range nodes {
		m.nodes[n.Address] = n.Bytes
	}
	return nil
}

// All returns a copy of what is stored; the bytes are shared.
func (m *Memory) All() map[Address][]byte {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return maps.Clone(m.nodes)
}
