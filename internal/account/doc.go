// Package account is the local users of a server: their accounts, passwords,
// devices and tokens, and by which means they prove who they are.
//
// # Secrets
//
// Passwords are stored as argon2id, computed by few at a time; access tokens as
// their SHA-256, which is enough for what is random. Registration tokens are
// stored as they are, because administrators want to look them up.
//
// # Access tokens
//
// [Accounts.Authenticate] is asked for every request and answers from memory, for
// at most ten seconds: so long a token may still be good on one node that was
// revoked on another. On the node that revokes it, it ends at once. When and from
// where a device was last seen is kept in memory and written by
// [Accounts.Run] every minute; a crash loses the last minute of that.
//
// A client that can refresh its token has a pair of tokens. Refreshing gives it
// another; what it had is good until it uses what it got, so that an answer that
// was lost does no harm. Then the old pair is spent, and remembered until the next
// is: whoever comes with it is told that the device still exists.
//
// # Removing devices
//
// A device is removed in three steps: its tokens, then what others know of it
// (Options.Removing), then itself. After a crash in between, [Accounts.Run] goes on:
// whoever has lost the token cannot ask again, and others must not go on to encrypt
// for a device that is gone.
//
// # User-interactive authentication
//
// [Accounts.Interact] runs
// https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api:
// what is left to be done is a pure function of the flows and the stages done
// (stages.go), and the sessions are in the database, so that each request
// may come to another node.
//
// A stage can also be done apart from the request, on a page: [Accounts.Stage].
//
// # Addresses
//
// An account has mail addresses and telephone numbers that were shown to be its
// user's: [Accounts.RequestValidation] sends something there, in the background, and
// who comes with it has them, for the one operation that it was sent for. The row
// of a validation has a flag as long as something is to be sent, so that a crash
// loses none. What is answered never tells whose an address is.
//
// # Deactivation
//
// The package does not know rooms, profiles or keys. An account that is
// deactivated has a note that there is more to be done, until Options.Departed
// has done it.
package account
