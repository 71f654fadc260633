// Package apitest has the tests of all that a server serves, taken together: its
// routes against those of the specification, and each of them under attack. Both
// go by the table of routes, so that a new one is tested from its first day.
//
// There is nothing in the package but tests.
package apitest
