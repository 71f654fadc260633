// Package push tells users of what notifies them, and finds what has.
// https://spec.matrix.org/v1.19/client-server-api/#push-notifications
//
// # Pushing
//
// [Pushers] keeps where users want to be told. A [Sender] follows the journal behind a
// cursor, finds whom an event notifies, and asks their gateways to tell their devices:
// at least once, and by its event a gateway knows again what it was told before.
//
// The rules are evaluated once for all members of a room who have the same there,
// which most have: what somebody has set about other rooms does not matter. Only
// members with pushers are looked at. Nothing is written for it: what waits for a
// pusher is in memory, a bounded number of events, and how far the journal was
// followed is stored only up to what waits. A pusher that lags behind has that noted
// once; if the server starts again meanwhile, what it has not got is found in the
// history. Whatever is older than an hour is not pushed, nor what was read meanwhile.
//
// A pusher whose gateway refuses waits, twice as long each time; a gateway that cannot
// be reached is left alone, with all of its pushers, and then tried with one request.
// The number of requests is bounded, for a gateway, for all that have not answered
// lately, and altogether.
//
// How much is unread goes along with each event, and alone when a user reads
// something. It is counted once for a user, and then for the rooms where something
// has changed.
//
// # History
//
// Nothing is stored of what has notified: a message in a room with ten thousand
// members would be ten thousand rows, most of which nobody ever asks for. [History]
// finds it when the user asks, by the rules of the present, in what the user
// may see of the rooms that the user is in. It goes back through all of them at
// once, in the order of the journal, and only as far as a page needs: a room in
// which nothing happened lately is not even read. One request looks at a bounded
// number of events; where they notify rarely, as with highlights only, a page may
// have less than was asked for and still not be the last.
package push
