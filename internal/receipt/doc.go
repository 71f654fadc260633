// Package receipt keeps up to where users have read, by their own word:
// https://spec.matrix.org/v1.19/client-server-api/#receipts
//
// A receipt stands at a place of its room's order and never moves backwards,
// whatever comes at once or late: a receipt for an earlier event, or for the
// same one, changes nothing and is no news.
//
// Public receipts are news for the room, private ones for their user alone:
// nothing here gives a private receipt to anybody else. A reader finds the
// receipts that changed between two positions of the journal by the position of
// their last change, so one that has moved on since is found by whoever reads
// further, once.
//
// The package knows rooms by their numbers. Where an event stands is told by
// the [Locate] that it is made with.
package receipt
