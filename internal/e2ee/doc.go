// Package e2ee keeps the public keys of users and of their devices, gives them to
// those who ask, and keeps what else clients need for end-to-end encryption on a
// server: signatures, backups of the keys of rooms, dehydrated devices.
// https://spec.matrix.org/v1.19/client-server-api/#end-to-end-encryption
//
// The server cannot read what is encrypted with these keys, and clients trust no
// key because the server gave it to them. What the server has to see to is that
// what it says is whole: a key that was given out twice, or one whose private half
// is gone, is a message that nobody can decrypt.
//
// # One-time keys
//
// A one-time key is given to one who claims it once the transaction is committed
// that removes it, and to nobody else: not to another claim at the same time, by
// whichever node, nor after a crash, nor when the upload that brought it is
// repeated after it was given out. Of keys that came in different uploads those of
// the earlier one are given out first. Claims that come at the same time are
// answered together, by one transaction.
//
// # What is checked
//
// Keys of a device must be signed by it, cross-signing keys by the master key, and
// a signature that is uploaded must be one that its key has made of the key as it
// is stored. Only keys of algorithms of the specification are taken, since others
// cannot be checked. What other servers say of their users is passed on unless it
// is about somebody else's: their keys are for clients to check.
//
// Nobody but the signer sees a signature of a user's user-signing key.
//
// # The journal
//
// How many one-time keys a device has left, and whether its fallback keys were
// used, is told by /sync: it changes with an entry in the scope of the user, of
// kind [journal.KindOneTimeKeys], whose reference is [Ref] of the device. That the
// keys of a user have changed is for the package to know that keeps device lists:
// it gets the batch in which that happens, see [Lists]. Who signs the master key
// of another user is told of it alone, by an entry of kind
// [journal.KindSignature], see [Keys.Signed]. Backups are no news for anybody.
package e2ee
