package textindex

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is too short to be mistyped, and what is long enough to be so twice.
const (
	shortest = 4
	long     = 8
)

// MayBeMistyped reports whether it makes sense to ask what a word is near to.
func MayBeMistyped(word string) bool { return utf8.RuneCountInString(word) >= shortest }

// Near reports whether a word is, but for a letter or two, one of a text or the beginning
// of one. Both are folded.
func Near(word, text string) bool {
	if !MayBeMistyped(word) {
		return false
	}
	want := []rune(word)
	allowed := 1
	if len(want) >= long {
		allowed = 2
	}
	isBetween := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsNumber(r) }
	for part := range strings.FieldsFuncSeq(text, isBetween) {
		have := []rune(part)
		for n := len(want) - allowed; n <= len(want)+allowed; n++ {
			if n <= len(have) && distance(want, have[:n], allowed) <= allowed {
				return true
			}
		}
	}
	return false
}

// distance returns how many letters have to be put in, taken out, replaced or exchanged
// with their neighbour to make one word of another, or more than most.
// https://en.wikipedia.org/wiki/Damerau%E2%80%93Levenshtein_distance#Optimal_string_alignment_distance
func distance(a, b []rune, most int) int {
	if len(a) > longest || len(b) > longest {
		return most + 1
	}
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}

// longest is how many letters of a word are compared.
const longest = 64
