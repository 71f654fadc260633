// Package media keeps files for users: what they upload, copies of what users of
// other servers have uploaded there, and pictures made of both.
// https://spec.matrix.org/v1.19/client-server-api/#content-repository
//
// A row of the database says that there is something under a content URI; the
// bytes lie in the file system under the hash of what they are, once for all rows
// that have the same. A file is written under another name, synced, and gets its
// name before the row is written: so a row never names a file that is not whole. A
// file whose row did not come about, or has gone, is collected by the sweep, see
// [Store.Run]. Whoever gives a hash its file or takes it away for good holds the
// lock of the hash meanwhile.
//
// Contents pass through in pieces: what a request costs in memory does not depend
// on their size. Pictures are the exception, which are looked at before they are
// decoded, and not decoded if that would take too much; see thumbnail.go.
//
// Content, names and types come from strangers. They are kept as they are, and
// sent in such a way that a browser runs nothing of them (serve.go).
package media
