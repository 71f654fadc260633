// Package loadgen measures a Matrix homeserver from outside, over the
// client-server API (https://spec.matrix.org/v1.19/client-server-api/). It knows
// nothing of the server it measures, so that any server is measured by the same
// tool.
//
// A [Generator] makes the accounts and rooms that a scenario needs, runs it and
// returns [Row]s. The scenarios are the methods [Generator.Send],
// [Generator.Fanout], [Generator.Initial], [Generator.Idle] and
// [Generator.All]; [Generator.Self] measures the generator alone.
//
// [Generator.Encryption] and [Generator.Sliding] start the server in a process of its
// own, and so does [Generator.Push], which is the push gateways that it asks.
// [Generator.Federation] is another matter: it starts the server, too,
// and is all the servers around it, over the server-server API
// (https://spec.matrix.org/v1.19/server-server-api/). These are ports of this machine
// with certificates of an authority that is thrown away at the end. What they send is
// made and signed before it is measured how it is taken.
//
// # What it costs itself
//
// Generator and server often share a machine, so what is done for every message
// is done sparingly: each simulated client has one TCP connection and one
// goroutine, requests are copied from templates, responses are searched for what
// is needed and not decoded. What the generator used of the processor stands in
// each row beside what the server used.
//
// # Whom it measures
//
// A [Target] is an address on this machine, unless the caller says that the
// server is his own. What a scenario may ask for is bounded in number and time,
// and setting it up keeps to the server's rate limits.
//
// What a server answers is taken to be honest about its meaning but not about
// its size: a malformed response is an error, and a large one is cut off.
package loadgen
