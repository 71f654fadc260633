package canonjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// The first rows are the examples of the specification's appendix.
func TestCanonicalForm(t *testing.T) {
	rows := []struct{ name, in, want string }{
		{"an empty object", `{}`, `{}`},
		{"white space goes", "{\n \"one\": 1,\n \"two\": \"Two\"\n}", `{"one":1,"two":"Two"}`},
		{"members are sorted", `{"b":"2","a":"1"}`, `{"a":"1","b":"2"}`},
		{
			"objects inside objects are sorted",
			`{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}`,
			`{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}`,
		},
		{"text beyond ASCII stays raw", `{"a":"日本語"}`, `{"a":"日本語"}`},
		{"names beyond ASCII are sorted", `{"本":2,"日":1}`, `{"日":1,"本":2}`},
		{"escaped text becomes raw", `{"a":"\u65E5"}`, `{"a":"日"}`},
		{"null stays", `{"a":null}`, `{"a":null}`},

		{"HTML is not escaped", `{"a":"\u003cb\u003e&"}`, `{"a":"<b>&"}`},
		{"line separators are raw", `"\u2028\u2029"`, "\"\u2028\u2029\""},
		{"a solidus needs no escape", `"\/"`, `"/"`},
		{"delete is raw", `"\u007f"`, "\"\x7f\""},
		{"control characters take their short escape", `"\u0008\u0009\u000a\u000c\u000d"`, `"\b\t\n\f\r"`},
		{"other control characters are lower case hex", `"\u001F\u0000\u000B"`, `"\u001f\u0000\u000b"`},
		{"a pair of surrogates is one character", `"\ud83d\uDE00"`, `"😀"`},
		{"code point order is not UTF-16 order", `{"\ud83d\ude00":1,"\uff5e":2}`, `{"～":2,"😀":1}`},
		{"escaped names sort by what they stand for", `{"a":1,"\n":2,"\"":3,"\\":4," ":5}`, `{"\n":2," ":5,"\"":3,"\\":4,"a":1}`},
		{"a prefix sorts first", `{"ab":1,"a":2,"":3}`, `{"":3,"a":2,"ab":1}`},
		{"the last of duplicate members counts", `{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		{"duplicates are recognised through escapes", `{"a":1,"\u0061":2}`, `{"a":2}`},
		{"the largest integers", `[9007199254740991,-9007199254740991]`, `[9007199254740991,-9007199254740991]`},
		{"a value alone", " 7 ", "7"},
		{"literals", `[true , false,null]`, `[true,false,null]`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			for _, mode := range []Mode{Strict, Lenient} {
				got, err := Canonical([]byte(r.in), mode)
				if err != nil || string(got) != r.want {
					t.Errorf("Canonical(%s) = %s, %v; want %s", r.in, got, err, r.want)
				}
				again, err := Canonical(got, mode)
				if err != nil || len(got) > 0 && &again[0] != &got[0] {
					t.Errorf("canonical text %s was not returned as it is (%v)", got, err)
				}
			}
		})
	}
}

func TestLenientNumbers(t *testing.T) {
	rows := []struct{ name, in, want string }{
		{"the specification's example", `{"a":-0,"b":1e10}`, `{"a":0,"b":10000000000}`},
		{"integers beyond 2^53", `9007199254740993`, `9007199254740993`},
		{"integers beyond 64 bits keep their digits", `123456789012345678901234567890`, `123456789012345678901234567890`},
		{"a fraction stays", `50.57`, `50.57`},
		{"trailing zeros go", `50.5700`, `50.57`},
		{"an integral fraction stays a fraction", `1.0`, `1.0`},
		{"an integral fraction with exponent", `1.0e2`, `100.0`},
		{"an exponent below 1e16 is written out", `5114698E-2`, `51146.98`},
		{"large values take an exponent", `1e16`, `1e+16`},
		{"largest fixed form", `9999999999999998.0`, `9999999999999998.0`},
		{"small values take an exponent", `0.00001`, `1e-05`},
		{"smallest fixed form", `0.0001`, `0.0001`},
		{"negative zero as a fraction", `-0.0`, `-0.0`},
		{"underflow", `1e-999`, `0`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			got, err := Canonical([]byte(r.in), Lenient)
			if err != nil || string(got) != r.want {
				t.Fatalf("Canonical(%s) = %s, %v; want %s", r.in, got, err, r.want)
			}
			if again, err := Canonical(got, Lenient); err != nil || string(again) != r.want {
				t.Errorf("a second pass over %s gave %s, %v", got, again, err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	both := []struct {
		name, in string
		offset   int
	}{
		{"nothing", "", 0},
		{"only white space", "  ", 2},
		{"two values", "1 2", 2},
		{"a bare word", "nul", 0},
		{"a trailing comma in an array", "[1,]", 3},
		{"a trailing comma in an object", `{"a":1,}`, 7},
		{"a missing colon", `{"a" 1}`, 5},
		{"a missing value", `{"a":}`, 5},
		{"a name without quotes", `{a:1}`, 1},
		{"an open object", `{"a":1`, 6},
		{"an open array", `[1`, 2},
		{"an open string", `"a`, 1},
		{"an open escape", `"\`, 1},
		{"an unknown escape", `"\x"`, 1},
		{"short hex", `"\u12"`, 1},
		{"a lone high surrogate", `"\ud800"`, 1},
		{"a lone low surrogate", `"\udc00"`, 1},
		{"a high surrogate before an ordinary escape", `"\ud800\u0041"`, 1},
		{"a raw control character", "\"a\nb\"", 2},
		{"invalid UTF-8", "\"\xff\"", 1},
		{"an encoded surrogate", "\"\xed\xa0\x80\"", 1},
		{"an overlong encoding", "\"\xc0\x80\"", 1},
		{"a leading zero", "01", 0},
		{"a lone minus", "-", 0},
		{"a plus sign", "+1", 0},
		{"a fraction without digits", "1.", 0},
		{"a fraction without integer", ".5", 0},
		{"an exponent without digits", "1e", 0},
		{"infinity", "Infinity", 0},
		{"a number beyond binary64", "1e400", 0},
		{"a byte order mark", "\xef\xbb\xbf{}", 0},
		{"too deep nesting", strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1), MaxDepth},
	}
	for _, r := range both {
		t.Run(r.name, func(t *testing.T) {
			for _, mode := range []Mode{Strict, Lenient} {
				_, err := Canonical([]byte(r.in), mode)
				var syntax *SyntaxError
				if !errors.As(err, &syntax) || syntax.Offset != r.offset {
					t.Errorf("Canonical(%.40q) in mode %d: %v; want an error at byte %d", r.in, mode, err, r.offset)
				}
			}
		})
	}
	strict := []string{"-0", "1.0", "1e3", "1E3", "0.5", "9007199254740992", "-9007199254740992", "18446744073709551617"}
	for _, in := range strict {
		if _, err := Canonical([]byte(in), Strict); err == nil {
			t.Errorf("strict mode accepts %s", in)
		}
		if _, err := Canonical([]byte(in), Lenient); err != nil {
			t.Errorf("lenient mode refuses %s: %v", in, err)
		}
	}
}

func TestDeepestNestingIsAccepted(t *testing.T) {
	deep := strings.Repeat(`{"a":`, MaxDepth) + "1" + strings.Repeat("}", MaxDepth)
	if _, err := Canonical([]byte(deep), Strict); err != nil {
		t.Error(err)
	}
	if !IsCanonical([]byte(deep), Strict) {
		t.Error("deep canonical text is said not to be canonical")
	}
}

func TestManyMembersAreSorted(t *testing.T) {
	for _, n := range []int{2, fewMembers, fewMembers + 1, 1000} {
		var in, want strings.Builder
		in.WriteString(`{"m0000":"first"`)
		want.WriteString(`{"m0000":0`)
		for i := range n {
			fmt.Fprintf(&in, `,"m%04d":%d`, n-1-i, n-1-i)
			if i > 0 {
				fmt.Fprintf(&want, `,"m%04d":%d`, i, i)
			}
		}
		got, err := Canonical([]byte(in.String()+"}"), Strict)
		if err != nil || string(got) != want.String()+"}" {
			t.Errorf("%d members became %s, %v", n, got, err)
		}
	}
}

func TestTooLongATextIsRefused(t *testing.T) {
	if _, err := Canonical(make([]byte, MaxSize+1), Strict); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
}

func TestCanonicalTextCostsNothing(t *testing.T) {
	src := []byte(`{"content":{"body":"日本\n"},"depth":12,"list":[1,2,{"a":"b"}],"type":"m.room.message"}`)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := Canonical(src, Strict); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for canonical text", allocs)
	}
}

// drawJSON draws a JSON text that is valid and canonical only by accident.
func drawJSON(t *rapid.T, depth int) string {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t"}).Draw(t, "space")
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 && kind > 4 {
		kind -= 3
	}
	var b strings.Builder
	b.WriteString(space)
	switch kind {
	case 0:
		b.WriteString(rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word"))
	case 1:
		n, _ := json.Marshal(rapid.Int64Range(-MaxInt, MaxInt).Draw(t, "int"))
		b.Write(n)
	case 2, 3, 4:
		s, _ := json.Marshal(rapid.String().Draw(t, "string"))
		b.Write(s)
	case 5:
		b.WriteByte('[')
		for i := range rapid.IntRange(0, 4).Draw(t, "length") {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(drawJSON(t, depth-1))
		}
		b.WriteByte(']')
	case 6:
		b.WriteByte('{')
		for i := range rapid.IntRange(0, 5).Draw(t, "size") {
			if i > 0 {
				b.WriteByte(',')
			}
			name, _ := json.Marshal(rapid.StringN(0, 3, -1).Draw(t, "name"))
			b.Write(name)
			b.WriteByte(':')
			b.WriteString(drawJSON(t, depth-1))
		}
		b.WriteByte('}')
	}
	b.WriteString(space)
	return b.String()
}

func TestCanonicalKeepsTheValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawJSON(t, 4)
		got, err := Canonical([]byte(text), Strict)
		if err != nil {
			t.Fatalf("Canonical(%s): %v", text, err)
		}
		checkCanonical(t, got, Strict)
		if want := referenceCanonical(t, text); !bytes.Equal(got, want) {
			t.Fatalf("Canonical(%s) = %s; want %s", text, got, want)
		}
	})
}

// referenceCanonical does the slow way what Canonical does: encoding/json with
// its liberties undone. It sorts by byte, which is code point order.
func referenceCanonical(t *rapid.T, text string) []byte {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(x); err != nil {
		t.Fatal(err)
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	out = bytes.ReplaceAll(out, []byte(`\\`), []byte("\xff"))
	out = bytes.ReplaceAll(out, []byte(`\u2028`), []byte("\u2028"))
	out = bytes.ReplaceAll(out, []byte(`\u2029`), []byte("\u2029"))
	return bytes.ReplaceAll(out, []byte("\xff"), []byte(`\\`))
}

type fataler interface {
	Fatalf(format string, args ...any)
}

func checkCanonical(t fataler, v Value, mode Mode) {
	if !IsCanonical(v, mode) {
		t.Fatalf("%s is not canonical", v)
	}
	if !json.Valid(v) || !utf8.Valid(v) {
		t.Fatalf("%s is not JSON", v)
	}
	walk(t, v, 0)
}

// walk reads every part of v through the accessors and checks that they put
// together what v is.
func walk(t fataler, v Value, depth int) {
	switch v.Kind() {
	case Object:
		out := []byte{'{'}
		for name, value := range v.Members() {
			text, ok := name.Text()
			if !ok || !name.Is(text) || !bytes.Equal(Text(text), name) {
				t.Fatalf("name %s of %s does not read back", name, v)
			}
			if got := v.Get(text); !bytes.Equal(got, value) {
				t.Fatalf("Get(%q) of %s = %s", text, v, got)
			}
			if got := v.With(text, value); !bytes.Equal(got, v) {
				t.Fatalf("putting %q back into %s gives %s", text, v, got)
			}
			if got := v.Without(text).With(text, value); !bytes.Equal(got, v) {
				t.Fatalf("taking %q out of %s and putting it back gives %s", text, v, got)
			}
			out = appendMember(out, name, value)
			walk(t, value, depth+1)
		}
		if out = append(out, '}'); !bytes.Equal(out, v) {
			t.Fatalf("members of %s give %s", v, out)
		}
	case Array:
		out := []byte{'['}
		for e := range v.Elements() {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(out, e...)
			walk(t, e, depth+1)
		}
		if out = append(out, ']'); !bytes.Equal(out, v) {
			t.Fatalf("elements of %s give %s", v, out)
		}
	case String:
		text, ok := v.Text()
		if !ok || !bytes.Equal(Text(text), v) {
			t.Fatalf("string %s reads as %q", v, text)
		}
	case Number:
		if n, ok := v.Int(); ok && json.Number(v).String() != v.String() {
			t.Fatalf("number %s reads as %d", v, n)
		}
	case Absent:
		t.Fatalf("no value where one is")
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{
		`{"b":1,"a":[true,false,null,"\u00e9\ud83d\ude00\n"]}`, `[-0,1e10,1.5,9007199254740993,0.00001]`,
		`"\u0000"`, `{"a":1,"\u0061":2}`, "\"\xff\"", `{"":{"":{"":{}}}}`, ` [ ] `,
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, src []byte, lenient bool) {
		mode := Strict
		if lenient {
			mode = Lenient
		}
		v, err := Canonical(src, mode)
		if err != nil {
			if mode == Lenient && json.Valid(src) && utf8.Valid(src) && explained(src) == "" {
				t.Fatalf("valid JSON %q is refused: %v", src, err)
			}
			return
		}
		if !json.Valid(src) {
			t.Fatalf("accepted %q, which is not JSON", src)
		}
		checkCanonical(t, v, mode)
		if again, err := Canonical(v, mode); err != nil || !bytes.Equal(again, v) {
			t.Fatalf("a second pass over %s gives %s, %v", v, again, err)
		}
	})
}

// explained names the reasons for which valid JSON may be refused: an escaped
// lone surrogate, deep nesting, a number beyond binary64.
func explained(src []byte) string {
	if bytes.Contains(bytes.ToLower(src), []byte(`\ud`)) {
		return "surrogate"
	}
	if bytes.Count(src, []byte("["))+bytes.Count(src, []byte("{")) > MaxDepth {
		return "depth"
	}
	if bytes.ContainsAny(src, "eE.") {
		return "number"
	}
	return ""
}

func TestIntBounds(t *testing.T) {
	rows := []struct {
		in   string
		want int64
		ok   bool
	}{
		{"0", 0, true},
		{"-1", -1, true},
		{"9223372036854775807", math.MaxInt64, true},
		{"9223372036854775808", 0, false},
		{"-9223372036854775808", math.MinInt64, true},
		{"-9223372036854775809", 0, false},
		{"99999999999999999999", 0, false},
		{"1.5", 0, false},
		{`"1"`, 0, false},
		{"true", 0, false},
	}
	for _, r := range rows {
		if n, ok := Value(r.in).Int(); n != r.want || ok != r.ok {
			t.Errorf("Int of %s = %d, %v; want %d, %v", r.in, n, ok, r.want, r.ok)
		}
	}
}

func TestAppendStringRepairsUTF8(t *testing.T) {
	if got := string(AppendString(nil, "a\xffb\u2028<\x01")); got != "\"a\ufffdb\u2028<\\u0001\"" {
		t.Errorf("got %s", got)
	}
}

func TestMarshal(t *testing.T) {
	v, err := Marshal(map[string]any{"b": "<&>", "a": Value(`{"x":1}`), "c": []int{1}})
	if want := `{"a":{"x":1},"b":"<&>","c":[1]}`; err != nil || string(v) != want {
		t.Errorf("got %s, %v; want %s", v, err, want)
	}
	if _, err := Marshal(1.5); err == nil {
		t.Error("a fraction was marshalled")
	}
}
