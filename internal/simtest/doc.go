// Package simtest tests the law of package feed by random simulation:
// incremental syncs add up to the initial sync.
//
// A simulation is a whole server, a handful of people with devices, and what
// they do: rooms of all kinds, memberships in every direction, messages, state,
// redactions, profiles, receipts, typing, account data, one after the other and
// at once; the server is stopped and killed in between. Each device has streams
// of syncs with a filter for life. A stream's client applies responses as the
// specification tells clients to ([client]), and is treated badly: it pauses,
// loses responses and asks again, waits while others act, and goes on from a
// backup of long ago.
//
// Now and then, and at the end, a client is compared with one that has just
// asked for everything with the same filter, and both with what other endpoints
// say (oracle.go): the rooms and their state, members, summaries, counts, by
// what notified the user, too, receipts, typing, presence, account data, and the
// history, without hole or duplicate. Of users who were ever ignored clients may
// miss messages, and have old ones, and it is not looked at these.
// Each response by itself is held against what must be true of any (check.go).
//
// Several servers are simulated together, each with people of its own, in rooms
// that they share ([RunTogether]): in virtual time, on a network that loses, delays
// and repeats requests, that is cut in two, and with servers that are killed and
// whose clocks are wrong (weather.go, federation.go). The same is held against the
// clients all along. Then everything heals, somebody of each server says something
// in each room, and
//
//   - servers that know of each other in a room agree on its state, and its
//     branches have come together (agree.go);
//   - what a client was told is sent is on its server, and on all that were in the
//     room from then on (acks.go): whatever they think of it;
//   - nobody has ever been shown what the history visibility hides by the state at
//     the event (secrets.go).
//
// A new kind of deed is a file and a line in kinds.go; trouble of another kind is in
// federation.go.
//
// All that is random comes from one seed, which is printed. What goes on at once
// in the server does not, so a failure that needs a race may take several runs
// to be seen again:
//
//	go test ./internal/simtest -run 'Law$' -sim.seed 7 -sim.steps 500 -v
//	go test ./internal/simtest -run LawTogether -sim.seed 7 -sim.steps 150 -v
package simtest
