// Package push finds which events notify a user, and how.
// https://spec.matrix.org/v1.19/client-server-api/#push-notifications
//
// Nothing is stored for it: a message in a room with ten thousand members would be
// ten thousand rows, most of which nobody ever asks for. [History] finds what has
// notified a user when the user asks, by the rules of the present, in what the user
// may see of the rooms that the user is in. It goes back through all of them at
// once, in the order of the journal, and only as far as a page needs: a room in
// which nothing happened lately is not even read. One request looks at a bounded
// number of events; where they notify rarely, as with highlights only, a page may
// have less than was asked for and still not be the last.
package push
