// Package id holds the identifiers of Matrix as distinct string types, so that
// a user ID cannot be passed where a room ID is wanted, and their grammars:
// https://spec.matrix.org/v1.19/appendices/#identifier-grammar
//
// Each type has a tolerant parser, ParseX, for what must be accepted from other
// servers and from history, and most have a stricter one, ParseStrictX or NewX,
// for what this server is willing to create. A parser returns its argument
// converted, never a normalised copy: identifiers are compared byte for byte,
// and case counts. Parsing valid input allocates nothing. An error is always an
// [*Error].
//
// All lengths are in bytes. [MaxLength] bounds every type, except that in a
// [ContentURI] it bounds the server name and the media ID separately.
//
// A value that was converted from a string, not parsed, may hold anything. Its
// accessors still never panic: they return the empty string or false where the
// part they ask for is not there. The empty string is the absent identifier;
// it is never valid.
//
// # JSON and SQL
//
// Values encode as the strings they are. Decoding, as a JSON string or as the
// key of a JSON object, applies the tolerant parser, so a present but empty
// string is an error; an absent member and null leave the target as it was,
// which for a fresh struct is the empty identifier. encoding/json replaces
// invalid UTF-8 before this package can see and refuse it: bytes whose exact
// form matters are to be checked by package canonjson first. One bad key fails
// the whole object, so an object whose unknown keys are to be ignored, such as
// the signatures of an event, is to be decoded with plain strings.
//
// In a database the empty identifier is NULL, and NULL is the empty identifier.
// Reading trusts what was stored and checks its type only.
//
// Room versions are not here: package roomver owns them and knows which form of
// event and room ID belongs to which.
package id
