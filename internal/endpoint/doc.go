// Package endpoint is the frame around every HTTP route of the server. A
// handler in it gets a decoded request and returns a response or an error;
// everything that all routes have in common happens here: finding the route,
// authentication, rate limits, size limits, decoding, encoding, errors, CORS,
// request IDs, and telling the log and the metrics.
//
// # Routes
//
// [On] makes a Route of a typed handler, [Stream] one of a function that writes
// the response itself. Routes are values: packages with handlers return slices
// of them, [New] makes one [Table] of all, and a test can compare
// [Table.Routes] with the specification. What is wrong with a route panics when
// it is made, since it is code that is wrong.
//
// A pattern is a method and a path as [net/http.ServeMux] understands it, with
// two restrictions: there are no {name...} wildcards, and a path that ends with a
// slash ends with /{$}. A wildcard matches one segment, which may contain encoded
// slashes but is never empty. Where the last segment may be empty, as state keys
// are, the route is there three times, with the same request type:
//
//	PUT …/state/{type}             as clients write it that leave the key out
//	PUT …/state/{type}/{$}         as clients write it that append an empty key
//	PUT …/state/{type}/{stateKey}
//
// # Requests
//
// The request type of a typed handler is a struct. Each field says where it
// comes from:
//
//	path:"roomID"          the wildcard {roomID}
//	path:"stateKey,optional"  the same, if the pattern has it
//	query:"limit"          a query parameter; for a slice, all of that name
//	header:"User-Agent"    a header
//	json:"user_id"         a member of the JSON object in the body
//	body:"raw"             the whole body, in a [canonjson.Value] or []byte
//	json:"-"               nowhere
//
// Embedded structs count as if their fields stood in place of them. Path, query
// and header fields are strings, booleans, integers, types with UnmarshalText,
// pointers to those (nil: not there) and, except for path fields, slices. Body
// fields can be of any type that encoding/json reads. The errors of UnmarshalText
// and UnmarshalJSON are about the input, and the client gets to see them.
//
// A field with required:"true" that is not there is refused with
// M_MISSING_PARAM, and with required:"M_BAD_JSON" with that code. An empty
// query parameter is not there, unless the field is a string; a member that is
// null is not there, unless the field is a canonjson.Value; an empty body is an
// empty object, unless the raw body is required.
//
// Names of members are case-sensitive in the outermost object, while
// encoding/json ignores case in those within. Unknown members are ignored. Of
// duplicate ones the last counts. Numbers are read by the lenient rules of
// canonjson: that the content of an event has only integers is for those to say
// who know the version of its room. Only a canonjson.Value deep inside of a field
// is read by the strict rules. Raw bodies, fields that are a canonjson.Value, and
// the elements of a []canonjson.Value share the memory of the body.
//
// Strings from path, query and headers are valid UTF-8 without NUL. Strings in
// the body may contain NUL; identifiers never do.
//
// # Responses
//
// A response is encoded by encoding/json, without the escapes that HTML would
// need. One with a method AppendJSON, see [Appender], is asked to append itself, and
// one with AppendPart, see [PartAppender], to do so part by part; a canonjson.Value
// is written as it is. [Reply] adds status and headers. A nil
// map, slice or pointer becomes null, which no endpoint of Matrix may answer:
// return empty ones.
//
// # Errors
//
// An error that is an [*mxerr.Error], or wraps one, is a refusal and becomes the
// response, by https://spec.matrix.org/v1.19/client-server-api/#standard-error-response.
// One without a Code is written without errcode and error, as user-interactive
// authentication wants it. Any other error is a fault: the client gets 500
// M_UNKNOWN, the log the details, once. A panic is a fault, too, and ends only
// its request. An error after the request's context ended is none: the client
// has gone, or the server is about to.
//
// # Limits
//
// The package knows nothing of users, tokens or signatures: an [Authenticator]
// does. It does not compress. That large responses are read fast enough it sees to
// itself; other timeouts it leaves to [net/http.Server]: without ReadTimeout a
// client can hold a connection by sending its body slowly.
package endpoint
