// Package todevice keeps messages to devices until the devices have them:
// https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging
//
// A message has a position of the journal. A device gets those behind the position
// up to which it was told, in order, and names that position when it comes back:
// only then they are deleted. So each is told once, whatever is lost on the way,
// and a request that is repeated gets the same answer.
//
// Messages to users of other servers are kept as EDUs, by their server, until that
// has taken them. A server that gets one twice knows it by its ID; so does this
// one, for a month.
//
// # Bounds
//
// A message, a request and what waits for one device or one server are bounded.
// Of what is more than may wait the oldest goes: who comes back after a long time
// can do most with the newest. That is counted, see [Store.Dropped], and logged.
//
// Messages to devices that there are not are dropped; with a device goes what
// waits for it.
package todevice
