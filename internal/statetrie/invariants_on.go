//go:build invariants

package statetrie

// invariants turns the costly self-checks of check.go on.
const invariants = true
