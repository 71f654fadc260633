package textindex

import (
	"slices"
	"unicode"
)

// A gram is up to three characters of a text, of 21 bits each, the last lowest. One
// of fewer than three is the beginning of a word, or of a script without spaces.
type gram int64

func gramOf(a, b, c rune) gram { return gram(a)<<42 | gram(b)<<21 | gram(c) }

// tagGram is the gram that texts with a tag have.
func tagGram(tag int64) gram { return gram(-tag) }

// A class says how a character is searched for.
type class int

const (
	between class = iota // it is not: it ends words
	letter               // as a part of a word
	dense                // by itself
)

// scripts are those that put no spaces between words, or of which a character says
// as much as several letters.
var scripts = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo, unicode.Yi,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan,
}

func classOf(r rune) class {
	switch {
	case r < 0x80:
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return letter
		}
		return between
	case r == 0x30fc || unicode.In(r, scripts...): // the mark of long vowels is of two scripts
		return dense
	case unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
		return letter
	case unicode.IsSymbol(r):
		return dense
	}
	return between
}

// eachRun calls f for the runs of characters of one class in a folded text, in order,
// but for what is between.
func eachRun(s string, f func(c class, run []rune)) {
	var run []rune
	now := between
	for _, r := range s {
		c := classOf(r)
		if c != now {
			if now != between {
				f(now, run)
			}
			run, now = run[:0], c
		}
		run = append(run, r)
	}
	if now != between {
		f(now, run)
	}
}

// textGrams returns the grams of a folded text, each once, in order.
func textGrams(s string) []gram {
	var grams []gram
	eachRun(s, func(c class, run []rune) {
		if c == dense {
			for i, r := range run {
				grams = append(grams, gramOf(0, 0, r))
				if i > 0 {
					grams = append(grams, gramOf(0, run[i-1], r))
				}
			}
			return
		}
		grams = append(grams, gramOf(0, 0, run[0]))
		if len(run) > 1 {
			grams = append(grams, gramOf(0, run[0], run[1]))
		}
		grams = append(grams, inside(run)...)
	})
	slices.Sort(grams)
	return slices.Compact(grams)
}

// inside returns the grams that a run of letters has wherever it stands.
func inside(run []rune) (grams []gram) {
	for i := 2; i < len(run); i++ {
		grams = append(grams, gramOf(run[i-2], run[i-1], run[i]))
	}
	return grams
}
