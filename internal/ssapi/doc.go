// Package ssapi is the routes of the server-server API, a file per module of the
// specification: https://spec.matrix.org/v1.19/server-server-api/
//
// Whatever another server says is hostile until shown otherwise: who it is, is
// checked by its signature (authenticate.go), what it may see by the room engine,
// and what it sends by the rules.
package ssapi
