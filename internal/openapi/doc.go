// Package openapi knows which responses the specification has for the operations
// of the client-server, server-server and push gateway APIs, and says what is wrong
// with one. Tests ask it about every response that they get from a whole server
// (internal/hstest); what runs does not contain it.
//
// What it knows is in extract.json: for each operation its statuses, with the
// schemas of the bodies, and for each type of event that of its content. That is
// an extract of the specification's OpenAPI data, facts without prose, so that the
// checks are made on every machine. Where the data itself is there, a test makes
// the extract anew and compares; see [Extract]. The data is that of
// https://github.com/matrix-org/matrix-spec, under the Apache License 2.0.
//
// It is stricter than the schemas where these leave things open: an object has no
// members but those that the specification names, since a member with a slip in
// its name is otherwise right, and a status is one that the operation documents,
// or that any operation may have. What is allowed beyond that stands in
// exceptions.go, with reasons.
//
// https://spec.matrix.org/v1.19/client-server-api/
package openapi
