// Package lint has no code, only tests: the laws of this repository that the
// compiler does not know. They are tests, so that `go test ./...` is the whole
// of what a contributor has to run and a violation is named by file and line.
//
//   - imports: packages import downwards only, and the protocol stays pure
//   - packagedoc: every package says what it is
//   - state: no package holds state or runs code at start-up
//   - versions: only matrix/roomver compares room versions
//   - length: a file is one subject
//   - tables: README.md and docs/ARCHITECTURE.md have a row for each package
//
// The laws are read from the sources, not from a build, so files behind build
// tags and for other systems obey them too. Tests are exempt, as is every
// directory the go command leaves out of ./... (testdata, other modules).
//
// Each rule is a function from a set of packages to complaints, in a file of
// its own together with a table of small packages that it must complain about.
// A rule that is in the way is changed here, with its reason, in the commit
// that needs it.
package lint
