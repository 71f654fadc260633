// Package event is the persistent data unit (PDU), the signed event that
// servers exchange, in every room version:
// https://spec.matrix.org/v1.19/server-server-api/#pdus and
// https://spec.matrix.org/v1.19/rooms/
//
// An [Event] is immutable. It keeps its canonical JSON, has its header fields
// read once, and leaves content as a [canonjson.Value] to be looked into when
// somebody asks. What a room version changes comes from its [roomver.Rules].
//
// Events come from four sources:
//   - [Parse], for bytes from outside: checks form, sizes and limits, computes
//     the event ID, trusts nothing else.
//   - [Load], for bytes that Parse accepted before and a store kept.
//   - [Proto.Build], for a new event: hashes and signs it.
//   - [Event.Redacted] and the other methods that return a changed copy.
//
// Of the checks that a server performs on a PDU it receives, Parse is the
// first; [Verifier.Receive] is the second and third, signatures and content
// hash, and returns the form of the event to go on with. Packages eventauth and
// stateres do the rest.
package event
