// Package csapi is the client-server API: a table of routes, each of which turns
// a request into a call of the domain that it is about, and the answer into what
// https://spec.matrix.org/v1.19/client-server-api/ says.
//
// There is a file per module of the specification, with the routes on top and
// their handlers below. A handler decodes nothing and encodes nothing: package
// endpoint does. Handlers decide nothing either; where two domains have to agree
// on something (a join has the displayname of the profile), the handler asks one
// and tells the other.
package csapi
