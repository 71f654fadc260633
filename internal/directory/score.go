package directory

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"parley/matrix/id"
)

// A score says how well a user is what is wanted.
type score struct {
	match int  // 0: not at all; of all terms together
	exact bool // one of the names is all of it
	begin bool // one begins with it
	named bool
	local bool
}

// mistyped is the match of a term that is about a word.
const mistyped = 1

// compare returns whether a score is better (1) than another.
func (s score) compare(o score) int {
	return cmp.Or(
		compareBool(s.exact, o.exact),
		compareBool(s.match > mistyped, o.match > mistyped),
		compareBool(s.begin, o.begin),
		cmp.Compare(s.match, o.match),
		compareBool(s.named, o.named),
		compareBool(s.local, o.local),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// score compares what is wanted with the words of a user. Each term has to be one of
// them, a part of one, or mistyped; what is mistyped decides.
func (w wanted) score(user id.UserID, words string) score {
	if w.server != "" && !strings.HasPrefix(strings.ToLower(string(user.Server())), w.server) {
		return score{}
	}
	s := score{match: 100}
	for name := range strings.SplitSeq(words, "\n") {
		s.exact = s.exact || name == w.text
		s.begin = s.begin || strings.HasPrefix(name, w.text)
	}
	for _, t := range w.terms {
		m := mistyped + int(t.In(words))
		if m == mistyped && !isNear(t.String(), words) {
			return score{}
		}
		s.match = min(s.match, m)
	}
	return s
}

// What is too short to be mistyped, and what is long enough to be so twice.
const (
	shortest = 4
	long     = 8
)

// mayBeMistyped reports whether it makes sense to look for what is similar.
func (w wanted) mayBeMistyped() bool {
	for _, t := range w.terms {
		if utf8.RuneCountInString(t.String()) < shortest {
			return false
		}
	}
	return true
}

// isNear reports whether a term is, but for a letter or two, a word or its beginning.
func isNear(term, words string) bool {
	want := []rune(term)
	if len(want) < shortest {
		return false
	}
	allowed := 1
	if len(want) >= long {
		allowed = 2
	}
	for _, word := range strings.FieldsFunc(words, func(r rune) bool { return strings.ContainsRune(" \n._-=/", r) }) {
		have := []rune(word)
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
