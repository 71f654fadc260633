// Package fedtest plays scenes between several whole servers, on a network in
// memory and in virtual time: see package hstest.
package fedtest
