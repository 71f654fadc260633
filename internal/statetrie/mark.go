package statetrie

import (
	"context"
	"fmt"
)

// Mark goes through the nodes of a state that are not in seen, adds them to it,
// and calls visit with the number of each entry that is there. So several states
// are gone through at the cost of what they do not share. Whoever removes nodes
// keeps those of all states that are still needed.
//
// After an error, seen has nodes whose children were not visited.
func Mark(ctx context.Context, nodes Nodes, root Root, seen map[Address]struct{}, visit func(number uint64)) error {
	r := reader{ctx, nodes, hashPath}
	var stack []visitedNode
	push := func(at Address, depth int) {
		if _, known := seen[at]; known || at == (Address{}) {
			return
		}
		seen[at] = struct{}{}
		stack = append(stack, visitedNode{at, depth})
	}
	push(Address(root), 0)
	for len(stack) > 0 {
		cut := max(0, len(stack)-loadChunk)
		chunk := append([]visitedNode(nil), stack[cut:]...)
		stack = stack[:cut]
		at, into := make([]Address, len(chunk)), make([][]byte, len(chunk))
		for i, v := range chunk {
			at[i] = v.at
		}
		if err := r.load(at, into); err != nil {
			return fmt.Errorf("marking the state %s: %w", root, err)
		}
		for i, v := range chunk {
			n, err := r.node(v.at, into[i], v.depth)
			if err != nil {
				return fmt.Errorf("marking the state %s: %w", root, err)
			}
			if n.leaf {
				n.numbers(visit)
				continue
			}
			for d := range fanOut {
				push(n.kid(d), v.depth+len(n.prefix)+1)
			}
		}
	}
	return nil
}

// visitedNode is a node, and how deep it lies.
type visitedNode struct {
	at    Address
	depth int
}

// numbers calls visit with the number of each entry of a leaf.
func (n *node) numbers(visit func(uint64)) {
	scan := scanner{rest: n.entries}
	for range n.count {
		if scan.next() != nil {
			return // parse has seen all entries
		}
		visit(scan.number)
	}
}
