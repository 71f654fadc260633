// Package filter has the filters by which clients say what /sync and /messages
// should leave out: https://spec.matrix.org/v1.19/client-server-api/#filtering
//
// [Parse] compiles a filter, which then decides without allocation and does not
// change, so any number of goroutines may use it. The zero value of each type
// lets everything pass. A [Store] keeps the filters that clients upload.
//
// # What is asked for
//
// A list that is not there includes everything, an empty one nothing, and what is
// on a not_ list is out, whatever else includes it. A member that is null is not
// there; members that are not known are ignored. Fields of profiles are told of only if
// they are named. In types a * stands for any run of
// characters, and everything else for itself: ? is not a wildcard, and case counts.
//
// What the specification leaves open, or what is done in a more friendly way:
//
//   - A limit of 0, where it wants more than 0, is none at all: bots ask so for
//     a sync without messages. The largest is [MaxLimit]. Negative ones are
//     refused.
//   - Identifiers have to be such: a user ID that is none would silently match
//     nobody.
//   - An empty list of event_fields asks for all of them. An event without any
//     is of no use to anybody, and more may be given than was asked for.
//   - What has no sender, as account data has none, is not from any of senders.
//
// # What is left to the caller
//
// Filters know only what they are told: the flags about members and threads, and
// what events relate to others, are read from the fields.
package filter
