package pushrule

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// A glob is a compiled pattern that is compared with folded text:
// https://spec.matrix.org/v1.19/appendices/#glob-style-matching
type glob struct {
	// words makes the glob match in any part of the text that begins and ends
	// at a word boundary, instead of in the whole.
	words   bool
	literal []byte     // the folded pattern, if automaton is nil
	states  *automaton // for patterns with wildcards
}

// maxLiteral is how long a pattern without wildcards may be to be searched for
// with bytes.Index. Beyond it, text made to almost match would cost its length
// times that of the pattern.
const maxLiteral = 63

func wild(pattern string) bool { return strings.ContainsAny(pattern, "*?") }

// compileGlob compiles a pattern of at most MaxPattern bytes.
func compileGlob(pattern string, words bool) *glob {
	folded := appendFolded(nil, []byte(pattern))
	if wild(pattern) || words && len(folded) > maxLiteral {
		return &glob{words: words, states: newAutomaton(folded)}
	}
	return &glob{words: words, literal: folded}
}

// match reports whether folded text matches.
func (g *glob) match(text []byte) bool {
	switch {
	case g.states != nil:
		return g.states.run(text, g.words)
	case g.words:
		return containsWords(text, g.literal)
	}
	return bytes.Equal(text, g.literal)
}

// containsWords reports whether literal occurs in text from one word boundary
// to another.
func containsWords(text, literal []byte) bool {
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
	var room [MaxPattern/64 + 1]uint64
	active := room[:a.words]
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
