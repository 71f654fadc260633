// Package remote is the way out: requests to addresses that others name, and the
// other servers.
//
// A [Client] connects to addresses on the internet only, unless it is told
// otherwise. A name is resolved here, each of its addresses is checked, and one
// that passed is what is connected to: the name is not resolved a second time, so
// it cannot mean something else by then. That is so for each connection, thus for
// where a redirect leads, too. No proxy of the environment is used, which would
// resolve names itself. What is read of an answer is bounded, and so is the time
// that all of it may take.
//
// [Servers] makes requests to other servers, as one that signs them: [Discovery]
// finds where they are, [Health] knows which cannot be reached, and a [KeyRing]
// has their keys. It carries bytes, and knows nothing of what happens in rooms.
package remote
