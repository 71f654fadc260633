// Package report keeps what users think that the administrators should look at:
// https://spec.matrix.org/v1.19/client-server-api/#reporting-content
//
// A report names an event, a room or a user, and says who reports it and why. It
// is kept until an administrator deletes it. Whether the caller may know of what
// is reported is for the caller of this package to find out.
package report
