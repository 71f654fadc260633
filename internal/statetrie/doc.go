// Package statetrie keeps the states of a room: maps from (event type, state
// key) to the number of an event, one for each point of the room's history
// (https://spec.matrix.org/v1.19/client-server-api/#room-events).
//
// A state is named by its [Root], the content address of an immutable trie.
// States of one room share what they have in common, so that to store the
// state at each event is cheap: a change of one entry writes eight nodes, 1 KB
// together, in a room of 100,000 members, and one node in a room of two. Nothing
// stored is ever updated.
//
// # Promises
//
//   - Roots of one room are equal exactly if the states are. The form of the
//     trie depends on its entries alone, not on how they came to be there.
//   - [Get] and [Put] read as many nodes as the trie is deep; [Diff] reads what
//     differs; [OfType] reads the entries of the type. Stores are asked for
//     many nodes at once where that is possible.
//   - Types and state keys are chosen by strangers. The trie places them by
//     SHA-256 and its leaves hold them whole: a collision is harmless, and keys
//     ground to share the first n bits cost 2^n hashes each to make and n/3
//     steps, at most, to read. Nothing recurses deeper than 85 steps.
//   - A node that is missing, or whose bytes are not those of its address or
//     not well-formed, gives an error that names it ([ErrMissing],
//     [ErrCorrupt]), never a panic. What its bytes must be is written down in
//     node.go.
//
// # Shape
//
// A key's path is a hash: nine bytes from its type, then 23 from type and state
// key. Read as digits of three bits it leads from the root to the entry. A
// subtree of at most 16 entries is one leaf, sorted by key. A larger one is a
// branch at the digit where the paths of its entries first differ; it skips
// those they share. Thus each type is one subtree. Fan-out and leaf size are
// measured choices: docs/decisions/0003-state-trie.md.
//
// # Concurrency
//
// Nodes never change, so all functions may run at the same time, on the same
// roots too, as far as the Nodes or Store given to them allows that. Two Apply
// at once to one root make two states; which one becomes the room's is decided
// where roots are committed, not here. An iterator may be ranged over again,
// but by one goroutine at a time.
//
// # Where it stops
//
// The package does not know events, rooms or transactions, does not remember
// roots and does not cache. Nodes that no root reaches any more do no harm and
// stay until someone sweeps them. A sweep must not run between an Apply and
// the commit of its root, nor from a list of roots older than one: an Apply
// relies on nodes of its base that it does not write again, and a new state
// may equal one that was swept a moment ago.
//
// With the build tag invariants each node written is checked against the
// canonical form and each result, up to 2,000 entries, against a plain map.
package statetrie
