// Package feed is what clients learn of what happens: /sync.
// https://spec.matrix.org/v1.19/client-server-api/#syncing
//
// It reads a prefix of the journal, up to the position that the answer is for,
// and never decides. A token is that position, with the epoch of the journal and
// the number of the last typing notification; an answer brings a client that has
// everything up to one token to everything up to another.
//
// # The law
//
// Incremental answers add up to an initial one: whoever applies all answers from
// any token on knows what somebody knows who asks for everything at once. State
// does not always change by the events that a client sees: filters leave some
// out, others happened while the user was away, and when branches of a room come
// together none needs to say what the state has become. So the state that an
// answer has before its timeline is whatever makes the law true: see
// stateBlock.
//
// # Waiting
//
// A user's devices share a watch: a subscription to the user's own scope and to
// those of the rooms the user is in. While nothing happens in these, a waiting
// request costs its goroutine and its connection, no query.
package feed
