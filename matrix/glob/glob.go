// Package glob matches patterns in which * stands for any run of characters
// and ? for one: https://spec.matrix.org/v1.19/appendices/#glob-style-matching
//
// All uses of such patterns in Matrix ignore case: push rules, access control
// lists, policy lists. Case-insensitive means Unicode simple case folding, one
// code point to one, except that ASCII characters match ASCII only, so that no
// name beyond ASCII can pass for one in it. Text is folded once, by [Fold], and
// then compared with many patterns.
//
// Patterns come from strangers. A match takes time proportional to the length
// of the text times that of the pattern over 64, whatever they are.
package glob

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Pattern is a compiled pattern. It does not change, so any number of
// goroutines may use it.
type Pattern struct {
	words   bool
	literal []byte // the folded pattern less a star at an end, if states is nil
	// prefix and suffix: text that begins or ends with literal matches.
	prefix, suffix bool
	states         *automaton // for all other patterns with wildcards
}

// maxLiteral is how long a pattern without wildcards may be to be searched for
// with bytes.Index. Beyond it, text made to almost match would cost its length
// times that of the pattern.
const maxLiteral = 63

// Wild reports whether a pattern has wildcards.
func Wild(pattern string) bool { return strings.ContainsAny(pattern, "*?") }

// Compile prepares a pattern that has to match the whole of a text.
func Compile(pattern string) *Pattern { return compile(pattern, false) }

// CompileWords prepares a pattern that matches any part of a text that begins
// and ends at a word boundary: at an end of the text, or where a character
// that is not one of A-Z, a-z, 0-9 and _ stands on at least one side.
func CompileWords(pattern string) *Pattern { return compile(pattern, true) }

func compile(pattern string, words bool) *Pattern {
	folded := Fold(nil, []byte(pattern))
	if rest, ok := bytes.CutPrefix(folded, []byte("*")); ok && !words && !Wild(string(rest)) {
		return &Pattern{suffix: true, literal: rest}
	}
	if rest, ok := bytes.CutSuffix(folded, []byte("*")); ok && !words && !Wild(string(rest)) {
		return &Pattern{prefix: true, literal: rest}
	}
	if Wild(pattern) || words && len(folded) > maxLiteral {
		return &Pattern{words: words, states: newAutomaton(folded)}
	}
	return &Pattern{words: words, literal: folded}
}

// Match reports whether a text, in the form that Fold gives it, matches.
func (p *Pattern) Match(folded []byte) bool {
	switch {
	case p.states != nil:
		return p.states.run(folded, p.words)
	case p.words:
		return ContainsWords(folded, p.literal)
	case p.suffix:
		return bytes.HasSuffix(folded, p.literal)
	case p.prefix:
		return bytes.HasPrefix(folded, p.literal)
	}
	return bytes.Equal(folded, p.literal)
}

// ContainsWords reports whether a literal occurs in a text from one word
// boundary to another, both in the form that Fold gives them.
func ContainsWords(text, literal []byte) bool {
	for i := 0; i <= len(text); i++ {
		k := bytes.Index(text[i:], literal)
		if k < 0 {
			return false
		}
		i += k
		if atBoundary(text, i) && atBoundary(text, i+len(literal)) {
			return true
		}
	}
	return false
}

// An automaton runs a pattern over text with all ways to match it in parallel,
// a bit for each: bit i is set while the first i characters of the pattern,
// stars not counted, have been matched by the text so far. A step costs one
// operation per 64 characters of pattern, whatever the text.
type automaton struct {
	states int
	words  int // of 64 states
	// loop has the bits of the states that a star follows: they stay set.
	loop []uint64
	// accept has, for each class of characters, the states that such a
	// character leads to. Class 0 is of the characters that only ? matches.
	accept [][]uint64
	ascii  [utf8.RuneSelf]uint16
	// others are the characters of the pattern beyond ASCII, sorted, and the
	// classes of them.
	others  []rune
	classes []int
}

// newAutomaton compiles a folded pattern.
func newAutomaton(pattern []byte) *automaton {
	tokens := []rune(string(pattern))
	a := &automaton{states: 1}
	for _, r := range tokens {
		if r != '*' {
			a.states++
		}
		if r >= utf8.RuneSelf {
			a.others = append(a.others, r)
		}
	}
	a.words = (a.states + 63) / 64
	slices.Sort(a.others)
	a.others = slices.Compact(a.others)
	a.classes = make([]int, len(a.others))
	a.loop = make([]uint64, a.words)
	anything := make([]uint64, a.words)
	a.accept = [][]uint64{anything}

	state := 0
	for _, r := range tokens {
		if r == '*' {
			a.loop[state/64] |= 1 << (state % 64)
			continue
		}
		state++
		bit := uint64(1) << (state % 64)
		if r == '?' {
			anything[state/64] |= bit
			continue
		}
		a.accept[a.newClass(r)][state/64] |= bit
	}
	for _, class := range a.accept[1:] {
		for w := range class {
			class[w] |= anything[w]
		}
	}
	return a
}

// newClass returns the class of a character of the pattern, making one if it
// has none yet.
func (a *automaton) newClass(r rune) int {
	class := a.class(r)
	if class > 0 {
		return class
	}
	class = len(a.accept)
	a.accept = append(a.accept, make([]uint64, a.words))
	if r < utf8.RuneSelf {
		a.ascii[r] = uint16(class)
		return class
	}
	i, _ := slices.BinarySearch(a.others, r)
	a.classes[i] = class
	return class
}

func (a *automaton) class(r rune) int {
	if r < utf8.RuneSelf {
		return int(a.ascii[r])
	}
	if i, ok := slices.BinarySearch(a.others, r); ok {
		return a.classes[i]
	}
	return 0
}

// run reports whether text matches: as a whole, or in words.
func (a *automaton) run(text []byte, words bool) bool {
	var room [5]uint64 // enough for patterns of 256 bytes
	active := room[:]
	if a.words > len(room) {
		active = make([]uint64, a.words)
	}
	active = active[:a.words]
	last, lastBit := (a.states-1)/64, uint64(1)<<((a.states-1)%64)
	for i := 0; ; {
		end := i == len(text)
		boundary := words && atBoundary(text, i)
		if i == 0 || boundary {
			active[0] |= 1 // a match may begin here
		}
		if (end || boundary) && active[last]&lastBit != 0 {
			return true
		}
		if end {
			return false
		}
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(text[i:])
		}
		i += size
		accept, loop := a.accept[a.class(r)], a.loop
		carry := uint64(0)
		for w, states := range active {
			active[w] = (states<<1|carry)&accept[w] | states&loop[w]
			carry = states >> 63
		}
	}
}
