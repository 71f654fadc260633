// Package remote is the way out: every request of this server to an address that
// somebody else has named goes through a [Client] of this package.
//
// It connects to addresses on the internet only, unless it is told otherwise. A
// name is resolved here, each of its addresses is checked, and one that passed is
// what is connected to: the name is not resolved a second time, so it cannot mean
// something else by then. That is so for each connection, thus for where a redirect
// leads, too. No proxy of the environment is used, which would resolve names itself.
//
// What is read of an answer is bounded, and so is the time that all of it may take.
package remote
