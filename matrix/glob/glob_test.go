package glob

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func matches(pattern, text string, words bool) bool {
	return compile(pattern, words).Match(Fold(nil, []byte(text)))
}

func TestGlobWhole(t *testing.T) {
	rows := []struct {
		name, pattern, text string
		want                bool
	}{
		{"a literal matches itself", "m.room.message", "m.room.message", true},
		{"a dot is a dot", "m.room", "mxroom", false},
		{"a prefix is not enough", "m.room", "m.room.message", false},
		{"a suffix is not enough", "message", "m.room.message", false},
		{"nothing matches nothing", "", "", true},
		{"nothing does not match something", "", "a", false},
		{"a star matches nothing", "*", "", true},
		{"a star matches all", "*", "anything\nat all", true},
		{"a question mark needs a character", "?", "", false},
		{"a question mark takes one character", "?", "ab", false},
		{"a character is a code point", "?", "日", true},
		{"a star may take what looks like the rest", "a*b", "abbb", true},
		{"stars and question marks mix", "*?a?*", "xa", false},
		{"stars and question marks mix and match", "*?a?*", "xay", true},
		{"case is ignored", "LUNCH", "lunch", true},
		{"case is ignored in Greek, final sigma included", "ΟΔΟΣ", "οδος", true},
		{"case is ignored beyond the basic plane", "𐐀", "𐐨", true},
		{"capital sharp s", "STRAẞE", "straße", true},
		{"sharp s is not two letters", "STRASSE", "straße", false},
		{"the Kelvin sign is not a k", "k", "\u212a", false},
		{"the long s is not an s", "s", "ſ", false},
		{"brackets mean nothing", "[ab]", "a", false},
		{"a backslash escapes nothing", `\*`, `\anything`, true},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := matches(r.pattern, r.text, false); got != r.want {
				t.Errorf("%q matches %q: %v", r.pattern, r.text, got)
			}
		})
	}
}

func TestGlobWords(t *testing.T) {
	rows := []struct {
		name, pattern, text string
		want                bool
	}{
		{"a word among others", "cake", "I like cake a lot", true},
		{"at the start", "cake", "cake, please", true},
		{"at the end", "cake", "give me cake", true},
		{"within a word", "cake", "pancakes", false},
		{"the start of a word", "cake", "cakes", false},
		{"the end of a word", "cake", "pancake", false},
		{"an underscore belongs to the word", "cake", "_cake", false},
		{"a digit belongs to the word", "cake", "cake2", false},
		{"a hyphen does not", "cake", "cup-cake", true},
		{"a letter beyond ASCII does not", "cake", "écaké cakeé", true},
		{"a later occurrence counts", "cake", "pancake cakes cake", true},
		{"an overlapping occurrence counts", "-a-a", "x-a-aa-a-a", true},
		{"several words", "big cake", "a BIG Cake!", true},
		{"a star spans words", "ex*ple", "An exciting triple-whammy", true},
		{"a star ends at a boundary", "ex*ple", "an exciting triplet", false},
		{"a trailing star finishes the word", "cake*", "cakewalk", true},
		{"a leading star begins the word", "*cake", "pancake", true},
		{"a star alone matches all", "*", "", true},
		{"question marks count", "c?ke", "a coke", true},
		{"a pattern with wildcards begins at a boundary", "c?ke", "xcoke", false},
		{"a pattern with wildcards ends at a boundary", "c?ke", "cokes", false},
		{"a star does not begin a word", "c*ke", "xcoke", false},
		{"a pattern that begins with punctuation", "@room", "hi @room!", true},
		{"also after a letter", "@room", "hi@room", true},
		{"a script without spaces", "猫", "私の猫です", true},
		{"nothing occurs everywhere", "", "text", true},
		{"a long literal", strings.Repeat("long ", 20) + "x", "a " + strings.Repeat("Long ", 20) + "x.", true},
		{"a long literal within a word", strings.Repeat("long ", 20) + "x", "a " + strings.Repeat("long ", 20) + "xx", false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := matches(r.pattern, r.text, true); got != r.want {
				t.Errorf("%q occurs in %q: %v", r.pattern, r.text, got)
			}
		})
	}
}

// naiveMatch tries every way to match pattern to the whole of text.
func naiveMatch(pattern, text []rune) bool {
	if len(pattern) == 0 {
		return len(text) == 0
	}
	if pattern[0] == '*' {
		return naiveMatch(pattern[1:], text) || len(text) > 0 && naiveMatch(pattern, text[1:])
	}
	return len(text) > 0 && (pattern[0] == '?' || naiveFold(pattern[0]) == naiveFold(text[0])) &&
		naiveMatch(pattern[1:], text[1:])
}

// naiveFold is fold without knowledge of scripts.
func naiveFold(r rune) rune {
	if r < utf8.RuneSelf {
		return unicode.ToLower(r)
	}
	least := rune(unicode.MaxRune)
	for _, other := range orbit(r) {
		if other >= utf8.RuneSelf {
			least = min(least, other)
		}
	}
	return least
}

func orbit(r rune) []rune {
	all := []rune{r}
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		all = append(all, other)
	}
	return all
}

// naiveWords tries every part of text between two boundaries.
func naiveWords(pattern, text []rune) bool {
	boundary := func(i int) bool {
		word := func(r rune) bool {
			return strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_", r)
		}
		return i == 0 || i == len(text) || !word(text[i-1]) || !word(text[i])
	}
	for i := 0; i <= len(text); i++ {
		for j := i; j <= len(text); j++ {
			if boundary(i) && boundary(j) && naiveMatch(pattern, text[i:j]) {
				return true
			}
		}
	}
	return false
}

func TestGlobAgreesWithNaiveMatcher(t *testing.T) {
	pattern := rapid.StringOfN(rapid.SampledFrom([]rune("aAb_- **??éÉ\u212a")), 0, 8, -1)
	text := rapid.StringOfN(rapid.SampledFrom([]rune("aAb_- éÉk\u212a")), 0, 12, -1)
	rapid.Check(t, func(t *rapid.T) {
		p, s := pattern.Draw(t, "pattern"), text.Draw(t, "text")
		if got, want := matches(p, s, false), naiveMatch([]rune(p), []rune(s)); got != want {
			t.Errorf("%q matches the whole of %q: got %v, want %v", p, s, got, want)
		}
		if got, want := matches(p, s, true), naiveWords([]rune(p), []rune(s)); got != want {
			t.Errorf("%q occurs in %q: got %v, want %v", p, s, got, want)
		}
	})
}

// Long patterns need more than one word of state bits, so all is repeated and
// padded until the interesting part lies across words.
func TestLongGlobAgreesWithNaiveMatcher(t *testing.T) {
	pattern := rapid.StringOfN(rapid.SampledFrom([]rune("ab ?*")), 0, 6, -1)
	text := rapid.StringOfN(rapid.SampledFrom([]rune("ab ")), 0, 10, -1)
	rapid.Check(t, func(t *rapid.T) {
		pad := strings.Repeat("x ", rapid.IntRange(28, 34).Draw(t, "pad"))
		p := pad + pattern.Draw(t, "pattern")
		s := pad + text.Draw(t, "text")
		if got, want := matches(p, s, false), naiveMatch([]rune(p), []rune(s)); got != want {
			t.Errorf("%q matches the whole of %q: got %v, want %v", p, s, got, want)
		}
		if got, want := matches(p, s, true), naiveWords([]rune(p), []rune(s)); got != want {
			t.Errorf("%q occurs in %q: got %v, want %v", p, s, got, want)
		}
	})
}

func TestPatternOfManyDifferentCharacters(t *testing.T) {
	var b strings.Builder
	for r := rune(0x4E00); b.Len()+3 <= 254; r++ {
		b.WriteRune(r)
	}
	pattern := b.String() + "z?"
	if !matches(pattern, b.String()+"zz", false) || matches(pattern, b.String()+"yz", false) {
		t.Errorf("a pattern of %d bytes is matched wrongly", len(pattern))
	}
}

// Access control lists have patterns of any length.
func TestVeryLongPattern(t *testing.T) {
	text := strings.Repeat("abc", 1000)
	for pattern, want := range map[string]bool{
		"*" + text[1:]: true, "?" + text[1:]: true, text + "?": false, text + "*": true, "*b" + text: false,
	} {
		if got := matches(pattern, text, false); got != want {
			t.Errorf("a pattern of %d bytes that begins with %q matches: %v", len(pattern), pattern[:5], got)
		}
	}
}

func TestFoldIsCaseFolding(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if got, want := fold(r), naiveFold(r); got != want {
			t.Fatalf("fold(%U) = %U, want %U", r, got, want)
		}
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("ex*ple", "An exciting triple-whammy")
	f.Add("*?*?", "日本")
	f.Add(strings.Repeat("a", 64)+"?", strings.Repeat("A", 65))
	f.Add("\xff*", "\xff")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		whole, words := matches(pattern, text, false), matches(pattern, text, true)
		if whole && !words {
			t.Error("the whole value matches but no part of it between boundaries")
		}
		if strings.Count(pattern, "*") > 3 || len(pattern) > 20 || len(text) > 20 {
			return
		}
		if want := naiveMatch([]rune(pattern), []rune(text)); whole != want {
			t.Errorf("whole: got %v, want %v", whole, want)
		}
		if want := naiveWords([]rune(pattern), []rune(text)); words != want {
			t.Errorf("words: got %v, want %v", words, want)
		}
	})
}
