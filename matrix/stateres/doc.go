// Package stateres resolves conflicting states of a room, by the algorithm of
// its room version: v1, v2 or v2.1.
// https://spec.matrix.org/v1.19/server-server-api/#room-state-resolution
//
// Every server of a room must come to the same result, so the result depends
// on nothing but the events: not on the order of the states, of the events, or
// on how they are numbered.
//
// Events go by number ([Num]) here. A server numbers the events that it stores
// so that an event has a greater number than the events that authorise it,
// which it can, because it stores no event before those. Then walking the auth
// graph needs no visited set to end, whatever an attacker makes of depths and
// timestamps, and a walk may stop at a number. [Index] numbers a set of events
// that are known by their IDs only.
//
// [Resolve] works from differences: of two states of a large room it wants to
// know where they differ ([Conflict]), and asks for the rest as needed. Its
// cost grows with what conflicts and with what came after it, not with the
// size of the room.
package stateres
