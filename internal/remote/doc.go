// Package remote is the other servers: where they are, which keys are theirs,
// requests to them, and whether they can be reached.
//
// It carries bytes, and knows nothing of what happens in rooms. Everything that other
// servers send is bounded in size and time before it is looked at.
package remote
