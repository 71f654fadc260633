// Package canonjson reads, checks and writes canonical JSON, the one encoding
// of a JSON value over which Matrix computes hashes and signatures:
// https://spec.matrix.org/v1.19/appendices/#canonical-json
//
// [Canonical] accepts any JSON text and returns its canonical form: no
// insignificant white space, object members sorted by code point, strings as
// raw UTF-8 with only the escapes that JSON demands. Text that is canonical
// already is returned as it came, without allocation, which is the usual case
// for events that other servers send.
//
// A [Mode] says which numbers are acceptable. [Strict] is for room versions 6
// and later and for everything that is not an event; [Lenient] keeps alive the
// events of room versions 1 to 5, whose senders were not held to the format.
//
// What both modes refuse, because no two implementations agree on what it
// means: invalid UTF-8, lone surrogates, nesting deeper than [MaxDepth], text
// longer than [MaxSize], and anything that is not JSON. What both accept: duplicate members, of which the
// last one counts and the others vanish, as they do in the servers most of the
// network runs.
//
// [Value] is a view of canonical bytes with lookups. It trusts its bytes: make
// one with [Canonical], or from bytes that once came from it.
package canonjson
