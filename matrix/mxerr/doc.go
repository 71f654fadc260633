// Package mxerr holds the error codes of the Matrix specification and [Error],
// the refusal that a client or another server gets to see:
// https://spec.matrix.org/v1.19/client-server-api/#standard-error-response
//
// An [Error] is for what the other side did wrong or must know. It knows its
// code, its HTTP status, a message for people, and extra members of the
// response. A cause wrapped in it shows in Error, for the log, and never in the
// JSON. Faults of this server are ordinary errors; turning those into
// [Unknown] with status 500, and headers such as Retry-After, belong to the
// place that writes responses.
//
// To ask for a code, use errors.Is with the [Code]:
//
//	if errors.Is(err, mxerr.NotFound) { ...
//
// Codes outside of the specification can be made by conversion, in the form of
// a namespace in capitals, an underscore and a name.
package mxerr
