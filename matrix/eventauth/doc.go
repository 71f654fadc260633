// Package eventauth decides whether an event is authorised, by the rules of
// its room version: https://spec.matrix.org/v1.19/rooms/
//
// A server asks several times about one event. [CheckAuthEvents] holds the
// auth_events that the event lists against what it should list; that does not
// depend on the state and is asked once. [Check] holds the event against a
// state of the room: first the one that its auth events make ([AuthState]),
// then the state before it, then, for a soft failure, the current state; and
// state resolution asks again. The two together are the complete rules.
//
// The specification's numbers for the rules differ between room versions. Each
// refusal is a [*Refusal] that names its [Rule], and a Rule knows its number
// in each version. In the code the words of the rule stand above the `if` that
// applies it, with the rule's number in room version 12 or, for a rule that
// version 12 lacks, in the version named.
//
// Server access control lists restrict requests, not events; [ACL] is a check
// of its own. So are the checks on whether a redaction applies from room
// version 3 on: [RedactionApplies].
package eventauth
