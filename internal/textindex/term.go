package textindex

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// What of a query counts: more would not find less.
const (
	maxTerms = 12
	maxTerm  = 256 // bytes, as it is folded
	maxGrams = 24  // of one term
)

// A Term is one of the things that a text has to have.
type Term struct {
	text string // folded
	// atStart says that it begins with so few letters that these have to be the
	// beginning of a word.
	atStart bool
	grams   []gram
}

// ParseTerms returns the terms of what somebody wants to find: words, which may stand
// anywhere, and what is in quotes, as it is. What has nothing in it that can be
// searched for is none.
func ParseTerms(query string) []Term {
	var terms []Term
	// Folding takes away white space that the rest could be divided at, and no more.
	for i, part := range strings.Split(Fold(query), `"`) {
		words := strings.Fields(part)
		if i%2 == 1 {
			words = []string{strings.TrimSpace(part)}
		}
		for _, word := range words {
			t := newTerm(word)
			known := slices.ContainsFunc(terms, func(o Term) bool { return o.text == t.text })
			if len(t.grams) > 0 && !known && len(terms) < maxTerms {
				terms = append(terms, t)
			}
		}
	}
	return terms
}

func newTerm(word string) Term {
	if len(word) > maxTerm {
		word = word[:cut(word, maxTerm)]
	}
	t := Term{text: word}
	first := true
	eachRun(word, func(c class, run []rune) {
		t.grams = append(t.grams, termGrams(c, run)...)
		if first && c == letter && len(run) < 3 {
			r, _ := utf8.DecodeRuneInString(word)
			t.atStart = classOf(r) == letter
		}
		first = false
	})
	slices.Sort(t.grams)
	t.grams = slices.Compact(t.grams)
	if len(t.grams) > maxGrams { // spread over the term: neighbours say the same
		few := make([]gram, maxGrams)
		for i := range few {
			few[i] = t.grams[i*len(t.grams)/maxGrams]
		}
		t.grams = few
	}
	return t
}

// termGrams returns the grams that a text has if it has a run.
func termGrams(c class, run []rune) []gram {
	switch {
	case c == letter && len(run) >= 3:
		return inside(run)
	case len(run) == 1:
		return []gram{gramOf(0, 0, run[0])}
	case c == letter:
		return []gram{gramOf(0, run[0], run[1])}
	}
	var grams []gram
	for i := 1; i < len(run); i++ {
		grams = append(grams, gramOf(0, run[i-1], run[i]))
	}
	return grams
}

// String returns the term as it is compared.
func (t Term) String() string { return t.text }

// A Match says how a text has a term, the better ones being greater.
type Match int

const (
	NoMatch Match = iota
	Inside        // within a word, or where there are no words
	Prefix        // a word begins with it
	Whole         // as one word or several
)

// In reports how a folded text has the term, at best.
func (t Term) In(text string) Match {
	best := NoMatch
	for from := 0; best < Whole; {
		i := strings.Index(text[from:], t.text)
		if i < 0 {
			break
		}
		start := from + i
		end := start + len(t.text)
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		first, size := utf8.DecodeRuneInString(text[start:])
		last, _ := utf8.DecodeLastRuneInString(text[:end])
		after, _ := utf8.DecodeRuneInString(text[end:])
		begins := start == 0 || classOf(before) != letter || classOf(first) != letter
		ends := end == len(text) || classOf(after) != letter || classOf(last) != letter
		switch {
		case begins && ends && classOf(first) == letter:
			best = Whole
		case begins && classOf(first) == letter:
			best = max(best, Prefix)
		case begins || !t.atStart:
			best = max(best, Inside)
		}
		from = start + size
	}
	return best
}
