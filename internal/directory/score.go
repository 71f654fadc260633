package directory

import (
	"cmp"
	"slices"
	"strings"

	"parley/internal/textindex"
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
		if m == mistyped && !textindex.Near(t.String(), words) {
			return score{}
		}
		s.match = min(s.match, m)
	}
	return s
}

// mayBeMistyped reports whether it makes sense to look for what is similar.
func (w wanted) mayBeMistyped() bool {
	return !slices.ContainsFunc(w.terms, func(t textindex.Term) bool { return !textindex.MayBeMistyped(t.String()) })
}
