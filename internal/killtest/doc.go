// Package killtest puts load on a server that is killed again and again, and
// looks at what each kill has left.
//
// A [Campaign] has users who send, redact, join, leave, edit what they keep on the
// server, log in and out, and clients that wait for news in /sync, all at once
// and over HTTP. It remembers what the server has acknowledged. When a server has
// acknowledged enough it is killed, another one starts on the same data, and
// then:
//
//   - What was acknowledged is there, once, and a request that is repeated with
//     its transaction ID is the event of then. What was not acknowledged is there
//     at most once, and repeating it is safe.
//   - A one-time key is given once, in the order of the uploads, and none is lost
//     but to a claim that was not answered.
//   - Each client goes on from its last token, and has each event of its rooms
//     once and in order. What it has put together is what an initial sync says.
//   - The database agrees with itself, which [Inspect] checks without the server:
//     positions of the journal, the state of each room against a replay of its
//     events, memberships, counts.
//
// How a server is started and killed is the caller's matter: see cmd/parley, where
// it is a process.
package killtest
