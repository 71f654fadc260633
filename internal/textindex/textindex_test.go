package textindex

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

func TestFolding(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"case does not count", "Hello WORLD", "hello world"},
		{"accents do not count", "Crème Brûlée", "creme brulee"},
		{"nor how they are written", "e\u0301", "e"},
		{"a sharp s is two", "Straße", "strasse"},
		{"every sigma is one", "ΣΊΣΥΦΟΣ", "σισυφοσ"},
		{"width does not count", "Ｈｅｌｌｏ ｶﾀｶﾅ", "hello カタカナ"},
		{"a mark that makes another syllable does", "が", "が"},
		{"Hangul stays whole", "한국어", "한국어"},
		{"white space is one space", "  a\n\t b\u3000c\r\n", "a b c"},
		{"control characters are white space", "a\x00b\x07c", "a b c"},
		{"bytes that are no text, too", "a\xffb", "a b"},
		{"emoji stay", "👍🏽 ok", "👍🏽 ok"},
		{"nothing", "", ""},
	} {
		if got := Fold(tt.text); got != tt.want {
			t.Errorf("%s: %q is folded to %q, want %q", tt.name, tt.text, got, tt.want)
		}
	}
	if got := len(Fold(strings.Repeat("語", 100_000))); got > MaxText || got < MaxText-3 {
		t.Errorf("a long text is folded to %d bytes, want about %d", got, MaxText)
	}
}

// matchRows is what a query finds in a text, the worst of its terms.
var matchRows = []struct {
	name, query, text string
	want              Match
}{
	{"a word", "world", "hello world!", Whole},
	{"the beginning of a word", "wor", "hello world", Prefix},
	{"the inside of a word", "orl", "hello world", Inside},
	{"the end of a word", "rld", "hello world", Inside},
	{"words in any order", "world hello", "hello, world", Whole},
	{"one word that is not there", "hello moon", "hello world", NoMatch},
	{"a phrase", `"llo wor"`, "hello world", Inside},
	{"a phrase the other way round", `"world hello"`, "hello world", NoMatch},
	{"a quotation that does not end", `"hello wor`, "hello world", Prefix},
	{"whatever the case", "HELLO", "Hello", Whole},
	{"whatever the accents", "creme", "Crème", Whole},
	{"one letter where a word begins", "w", "hello world", Prefix},
	{"one letter elsewhere", "o", "hello world", NoMatch},
	{"two letters where a word begins", "wo", "hello world", Prefix},
	{"two letters elsewhere", "or", "hello world", NoMatch},
	{"two letters that are a word", "ok", "token, ok?", Whole},
	{"what is punctuated", "c++", "I like C++ best", Whole},
	{"what is punctuated otherwise", "c++", "I like C best", NoMatch},
	{"a number", "42", "it is 42", Whole},
	{"an address", "example.org/a", "see https://example.org/about", Prefix},
	{"one Chinese character", "京", "我在北京工作", Inside},
	{"two Chinese characters", "北京", "我在北京工作", Inside},
	{"two that are not together", "北工", "我在北京工作", NoMatch},
	{"three", "北京工", "我在北京工作", Inside},
	{"Japanese in two scripts", "東京タワ", "昨日東京タワーに行った", Inside},
	{"the mark of a long vowel", "タワー", "昨日東京タワーに行った", Inside},
	{"Korean", "국어", "한국어를 배운다", Inside},
	{"Thai", "ภาษา", "ฉันพูดภาษาไทย", Inside},
	{"Cyrillic", "привет", "Привет, мир", Whole},
	{"Arabic", "سلام", "سلام عليكم", Whole},
	{"both kinds at once", "foo北", "xfoo北京", Inside},
	{"a short word before a character", "c北", "abc北京", NoMatch},
	{"an emoji", "👍", "fine 👍", Inside},
	{"a word with a digit", "h2o", "H2O is water", Whole},
}

func TestWhatATermIsFoundIn(t *testing.T) {
	for _, tt := range matchRows {
		worst := Whole
		terms := ParseTerms(tt.query)
		for _, term := range terms {
			worst = min(worst, term.In(Fold(tt.text)))
		}
		if worst != tt.want || len(terms) == 0 {
			t.Errorf("%s: %q in %q is %d, want %d", tt.name, tt.query, tt.text, worst, tt.want)
		}
	}
}

func TestWhatCannotBeSearchedForIsNoTerm(t *testing.T) {
	for query, want := range map[string]int{
		"": 0, " \n": 0, "?!": 0, `""`: 0, `"`: 0, "- foo -": 1, "foo foo FOO": 1, `foo "foo bar"`: 2, strings.Repeat("ab cd ef gh ij kl mn op qr st ", 3): 10,
	} {
		if got := ParseTerms(query); len(got) != want {
			t.Errorf("%q has the terms %q, want %d", query, got, want)
		}
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprint("word", i))
	}
	if got := len(ParseTerms(strings.Join(many, " "))); got != maxTerms {
		t.Errorf("a long query has %d terms, want %d", got, maxTerms)
	}
	for _, term := range ParseTerms(strings.Repeat("abcdefghij語", 1000)) {
		if len(term.text) > maxTerm || len(term.grams) > maxGrams {
			t.Errorf("a term has %d bytes and %d grams", len(term.text), len(term.grams))
		}
	}
}

// A text that a term is in has all of its grams: otherwise it would not be found.
func FuzzTermsAreFoundByTheirGrams(f *testing.F) {
	for _, tt := range matchRows {
		f.Add(tt.query, tt.text)
	}
	f.Add("ab", "a\u0301b ab\x00")
	f.Fuzz(func(t *testing.T, query, text string) {
		folded := Fold(text)
		if again := Fold(folded); again != folded && len(text) < 1000 {
			t.Errorf("%q is folded to %q, and that to %q", text, folded, again)
		}
		grams := textGrams(folded)
		for _, term := range ParseTerms(query) {
			if term.In(folded) == NoMatch {
				continue
			}
			for _, g := range term.grams {
				if _, ok := slices.BinarySearch(grams, g); !ok {
					t.Errorf("%q is in %q, which does not have its gram %x", term.text, folded, int64(g))
				}
			}
		}
	})
}

func FuzzLists(f *testing.F) {
	f.Add([]byte{0, 0, 200, 5, 5})
	f.Add([]byte(strings.Repeat("\xff", 64)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		const size = 512
		newPlaces(size).decodeList(raw) // whatever it is
		set := newPlaces(size)
		for i, b := range raw {
			set.add((i*7 + int(b)) % size)
		}
		again := newPlaces(size)
		again.decodeList(set.encode())
		if !slices.Equal(set, again) {
			t.Errorf("%x became %x", set, again)
		}
	})
}

func FuzzPages(f *testing.F) {
	f.Add([]byte{3, 2, 1, 1, 200, 9})
	f.Fuzz(func(t *testing.T, raw []byte) {
		eachOnPage(raw, func(listed) {}) // whatever it is
		var lists []listed
		for i := 0; i+1 < len(raw); i += 2 {
			lists = append(lists, listed{gram(int64(i)-50) << (raw[i] % 50), raw[i : i+int(raw[i+1])%2+1]})
		}
		lists = slices.CompactFunc(lists, func(a, b listed) bool { return a.gram == b.gram })
		page := encodePage(lists)
		n := 0
		eachOnPage(page, func(l listed) {
			if n >= len(lists) || l.gram != lists[n].gram || string(l.list) != string(lists[n].list) {
				t.Errorf("list %d is %v", n, l)
			}
			n++
		})
		if n != len(lists) {
			t.Errorf("%d of %d lists are there", n, len(lists))
		}
	})
}

// A shelf is an index beside a list of what is in it.
type shelf struct {
	*testing.T
	*Index
	texts map[Doc]Text
}

func (s *shelf) do(f func(tx *store.Tx) error) {
	s.Helper()
	if err := s.db.Update(s.Context(), f); err != nil {
		s.Fatal(err)
	}
}

func (s *shelf) add(texts ...Text) {
	s.Helper()
	s.do(func(tx *store.Tx) error {
		first, err := s.Add(tx, texts)
		for i, t := range texts {
			s.texts[first+Doc(i)] = t
		}
		return err
	})
}

func (s *shelf) remove(docs ...Doc) {
	s.Helper()
	s.do(func(tx *store.Tx) error { return s.Remove(tx, docs) })
	for _, d := range docs {
		delete(s.texts, d)
	}
}

// check compares what a query finds with what it has to find.
func (s *shelf) check(q Query) (found int) {
	s.Helper()
	got := make(map[Doc]bool)
	for h := s.Find(q); !h.Done(); {
		rest := h.Rest()
		docs, err := h.Next(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		for _, d := range docs {
			text, known := s.texts[d]
			switch {
			case got[d]:
				s.Errorf("%d is found twice", d)
			case !known:
				s.Errorf("%d is found, and is gone", d)
			case text.Rank > rest:
				s.Errorf("%d of rank %d comes after there was nothing of more than %d", d, text.Rank, rest)
			}
			got[d] = true
		}
	}
	for d, text := range s.texts {
		wanted := q.Tags == nil || slices.Contains(q.Tags, text.Tag)
		for _, term := range q.Terms {
			wanted = wanted && term.In(text.Folded) != NoMatch
		}
		if wanted {
			found++
		}
		if wanted && !got[d] && (q.Below == 0 || text.Rank < q.Below) {
			s.Errorf("%q is not found in %d, %q", q.Terms, d, text.Folded)
		}
	}
	return found
}

func TestWhatIsInTheIndexIsFound(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		random := rand.New(rand.NewPCG(1, 2))
		s := &shelf{t, New(db, Messages, 64), make(map[Doc]Text)}
		other := &shelf{t, New(db, Users, 64), make(map[Doc]Text)}
		other.add(Text{Folded: "ab abc 北京"})
		const letters = "aab bc 北京京 é-"
		some := func(n int) string {
			var b strings.Builder
			for range n {
				b.WriteRune([]rune(letters)[random.IntN(len([]rune(letters)))])
			}
			return b.String()
		}
		found := 0
		for round := range 24 {
			var texts []Text
			for range random.IntN(30) {
				texts = append(texts, Text{Fold(some(random.IntN(20))), int64(random.IntN(4)), int64(random.IntN(1000) - 100)})
			}
			s.add(texts...)
			for d := range s.texts {
				if random.IntN(10) == 0 {
					s.remove(d)
				}
			}
			for range 5 {
				q := Query{Terms: ParseTerms(some(1+random.IntN(5)) + " " + some(random.IntN(3)))}
				if random.IntN(2) == 0 || len(q.Terms) == 0 {
					q.Tags = []int64{1, 3}
				}
				if random.IntN(3) == 0 {
					q.Below = int64(random.IntN(1000))
				}
				found += s.check(q)
			}
			switch round % 3 {
			case 0:
				if err := s.Seal(t.Context()); err != nil {
					t.Fatal(err)
				}
			case 1:
				if err := s.Tidy(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		if found < 500 {
			t.Errorf("only %d texts were found", found)
		}
		var all []Doc
		for d := range s.texts {
			all = append(all, d)
		}
		s.remove(all...)
		s.check(Query{Tags: []int64{0, 1, 2, 3}})
		if err := s.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.rows("text_lists"); n != 0 {
			t.Errorf("%d pages are left of an index with nothing in it", n)
		}
		other.check(Query{Terms: ParseTerms("abc 京")})
	})
}

func (s *shelf) rows(table string) (n int64) {
	s.Helper()
	err := s.db.View(s.Context(), func(tx *store.Tx) error {
		return tx.Row("SELECT count(*) FROM "+table+" WHERE book = $1", s.book).Scan(&n)
	})
	if err != nil {
		s.Fatal(err)
	}
	return n
}

func TestABlockIsWrittenAgainAfterACrash(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := &shelf{t, New(db, Messages, 64), make(map[Doc]Text)}
		secret := Text{Folded: "secret", Tag: 1}
		s.add(secret)
		for range 70 {
			s.add(Text{Folded: "plain", Tag: 1})
		}
		// Its lists were written, and it was not noted.
		s.do(func(tx *store.Tx) error {
			return tx.QueueAll(insertLists, [][]any{{Messages, int64(0), s.page(gramOf('s', 'e', 'c')), encodePage([]listed{{gramOf('s', 'e', 'c'), encodeList([]uint16{1}, 64)}})}})
		})
		s.remove(1)
		if err := s.Tidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.check(Query{Terms: ParseTerms("secret")})
		s.check(Query{Terms: ParseTerms("plain")})
		s.do(func(tx *store.Tx) error {
			lists := 0
			for row, err := range tx.Query("SELECT lists FROM text_lists WHERE book = $1", Messages) {
				if err != nil {
					return err
				}
				var page []byte
				if err := row.Scan(&page); err != nil {
					return err
				}
				eachOnPage(page, func(listed) { lists++ })
			}
			if lists != 6 { // p, pl, pla, lai, ain, and the tag
				t.Errorf("there are %d lists, want 6", lists)
			}
			return nil
		})
	})
}

func TestAClearedIndexIsEmpty(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := &shelf{t, New(db, Messages, 64), make(map[Doc]Text)}
		for range 100 {
			s.add(Text{Folded: "some words", Tag: 1})
		}
		s.remove(5)
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.remove(6)
		if err := s.Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		clear(s.texts)
		s.check(Query{Terms: ParseTerms("words")})
		for _, table := range []string{"text_tail", "text_blocks", "text_lists", "text_gone"} {
			if n := s.rows(table); n != 0 {
				t.Errorf("%d rows are left in %s", n, table)
			}
		}
		s.add(Text{Folded: "new words", Tag: 1})
		if s.check(Query{Terms: ParseTerms("words")}) != 1 {
			t.Error("what comes later is not found")
		}
	})
}

func TestDistances(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "abc", 0}, {"abc", "abd", 1}, {"abc", "ab", 1}, {"abc", "xabc", 1}, {"abcd", "abdc", 1}, {"abc", "", 3},
		{"kitten", "sitting", 3}, {"李伟", "李薇", 1}, {"ca", "abc", 3},
	} {
		if got := distance([]rune(tt.a), []rune(tt.b), 9); got != tt.want {
			t.Errorf("from %q to %q it is %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := distance([]rune(tt.b), []rune(tt.a), 9); got != tt.want {
			t.Errorf("from %q to %q it is %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}
