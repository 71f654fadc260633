// Package accountdata keeps what clients leave with their user's account, for all
// of the account or for one room, and the user's push rules, which clients see as
// account data too:
// https://spec.matrix.org/v1.19/client-server-api/#client-config
//
// What is kept is changed through the journal only, under the user's scope, and
// each row has the position of its last change. So [Store.Since] tells what a
// device that waits behind a position has missed; what was changed again after the
// position that it is to be brought to is left out, for the next time. The content
// itself is JSON that the server does not understand, with three exceptions:
//
//   - m.push_rules is made of the server's rules and the user's settings, and
//     changed by [Store.EditRules].
//   - m.fully_read is set by [Store.SetFullyRead].
//   - m.tag can be edited tag by tag.
//
// The first two are not for clients to put.
//
// What users say of whom they want to hear, the list of users whom they ignore and
// who may invite them, the server acts upon: see [Store.Ignored] and
// [Store.Invite], which cost no query as a rule.
package accountdata
