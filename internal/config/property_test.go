package config

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// A draw is a value for one key, right for it.
type draw struct {
	key  *key
	text string
}

// draws gives some of the keys a value each, in random order.
var draws = rapid.Custom(func(t *rapid.T) []draw {
	printable := rapid.StringOfN(rapid.RuneFrom([]rune("aé:#'\"\\ -{}[],&*!|>%@`~0.=\U0001f600")), 1, 20, -1)
	var ds []draw
	for i := range keys {
		k := &keys[i]
		if strings.HasPrefix(k.name, "tls.") || strings.HasPrefix(k.name, "bucket.") || strings.HasPrefix(k.name, "mail.") || k.name == "registration.require_email" ||
			!rapid.Bool().Draw(t, "has "+k.name) {
			continue // the keys of tls, bucket and mail are right together only
		}
		var text string
		switch k.value.form {
		case "true|false":
			text = strconv.FormatBool(rapid.Bool().Draw(t, k.name))
		case "closed|token|open":
			text = rapid.SampledFrom([]string{"closed", "token", "open"}).Draw(t, k.name)
		case "all|sharers":
			text = rapid.SampledFrom([]string{"all", "sharers"}).Draw(t, k.name)
		case "off|users|open":
			text = rapid.SampledFrom([]string{"off", "users", "open"}).Draw(t, k.name)
		case "NAME,NAME|none":
			text = rapid.StringMatching(`[a-z]{1,5}(,[a-z]\.[a-z]{2,5})?`).Draw(t, k.name)
		case "NAME":
			text = rapid.StringMatching(`[a-z]{1,10}(\.[a-z]{2,5})?(:[1-9][0-9]{0,3})?`).Draw(t, k.name)
		case "NAMES":
			text = rapid.StringMatching(`[a-z]{1,5}(\.[a-z]{2,5})?(, ?[a-z]{1,5}:[1-9][0-9]{0,3}){0,2}`).Draw(t, k.name)
		case "KEY":
			text = k.example
		case "FILES":
			text = rapid.StringMatching(`[a-z/]{1,5}(, ?[a-z/]{1,5}\.yaml){0,2}`).Draw(t, k.name)
		case "PATTERNS":
			text = rapid.StringMatching(`\*@[a-z]{1,5}(, ?[0-9]{2}\?)?`).Draw(t, k.name)
		case "SITES":
			text = rapid.StringMatching(`https://[a-z]{1,5}/?(, ?http://[a-z]{1,5}:[1-9][0-9]{0,3})?`).Draw(t, k.name)
		case "URIS":
			text = rapid.StringMatching(`turn:[a-z]{1,5}(, ?turns:[a-z]{1,5}:[1-9][0-9]{0,3}){0,2}`).Draw(t, k.name)
		case "NUMBER":
			text = strconv.Itoa(rapid.IntRange(1, 4).Draw(t, k.name))
		case "JSON":
			text = k.example
		case "DURATION":
			text = strconv.Itoa(rapid.IntRange(1, 1000).Draw(t, k.name)) + "m"
		case "SIZE":
			text = strconv.Itoa(rapid.IntRange(1, 1000).Draw(t, k.name)) + rapid.SampledFrom([]string{"K", "M", "G", "T"}).Draw(t, k.name)
		case "LOCALPART":
			text = rapid.StringMatching(`[a-z]{1,9}`).Draw(t, k.name)
		case "HOST:PORT":
			text = rapid.StringMatching(`(|\[::1\]|[a-z]{1,10}):[1-9][0-9]{0,3}`).Draw(t, k.name)
		case "HTTP-URL":
			text = "https://h/" + rapid.StringMatching(`[a-z]{1,5}`).Draw(t, k.name)
		case "URL":
			text = "postgres://h/" + rapid.StringMatching(`[a-z]{0,5}`).Draw(t, k.name)
		default:
			text = printable.Draw(t, k.name)
		}
		ds = append(ds, draw{k, text})
	}
	return rapid.Permutation(ds).Draw(t, "order")
})

func fileOf(ds []draw) []byte {
	var b bytes.Buffer
	for _, d := range ds {
		text := d.text
		if d.key.value.plain == plainText {
			text = "'" + strings.ReplaceAll(text, "'", "''") + "'"
		}
		b.WriteString(d.key.name + ": " + text + "\n")
	}
	return b.Bytes()
}

func environOf(ds []draw) []string {
	var environ []string
	for _, d := range ds {
		environ = append(environ, variable(d.key.name)+"="+d.text)
	}
	return environ
}

func TestSourcesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ds := draws.Draw(t, "values")
		fromFile, _, err := Parse("f", fileOf(ds), nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, fileOf(ds))
		}
		fromEnviron, _, err := Parse("", nil, environOf(ds), nil)
		if err != nil {
			t.Fatal(err)
		}
		if fromFile != fromEnviron {
			t.Fatalf("file:        %#v\nenvironment: %#v\n%s", fromFile, fromEnviron, fileOf(ds))
		}
		var rest []draw
		var args []string
		for _, d := range ds {
			if d.key.flag {
				args = append(args, flagName(d.key.name)+"="+d.text)
			} else {
				rest = append(rest, d)
			}
		}
		fromArgs, _, err := Parse("f", fileOf(rest), nil, args)
		if err != nil {
			t.Fatal(err)
		}
		if fromFile != fromArgs {
			t.Fatalf("file:  %#v\nflags: %#v", fromFile, fromArgs)
		}
	})
}

// What a lower source says of a key is without effect if a higher one says
// something.
func TestHigherSourceWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low, high := draws.Draw(t, "file"), draws.Draw(t, "environment")
		got, _, err := Parse("f", fileOf(low), environOf(high), nil)
		if err != nil {
			t.Fatal(err)
		}
		merged := high
		for _, l := range low {
			overridden := false
			for _, h := range high {
				overridden = overridden || h.key == l.key
			}
			if !overridden {
				merged = append(merged, l)
			}
		}
		want, _, err := Parse("", nil, environOf(merged), nil)
		if err != nil || got != want {
			t.Fatalf("got %#v, want %#v, %v", got, want, err)
		}
	})
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"listen", "listen", 0}, {"lisen", "listen", 1},
		{"lsiten", "listen", 2}, {"kitten", "sitting", 3}, {"cert", "crt", 1},
	} {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("%q, %q: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
	words := rapid.StringMatching(`[ab]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := words.Draw(t, "a"), words.Draw(t, "b"), words.Draw(t, "c")
		ab, ba, bc, ac := editDistance(a, b), editDistance(b, a), editDistance(b, c), editDistance(a, c)
		if ab != ba || (ab == 0) != (a == b) || ac > ab+bc {
			t.Fatalf("not a distance: %q, %q, %q: %d, %d, %d, %d", a, b, c, ab, ba, bc, ac)
		}
	})
}

// FuzzParse checks that no file makes Parse panic, that errors are readable and
// name the file, and that what is accepted is within the rules.
func FuzzParse(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(Example()))
	for _, s := range []string{
		"", "a", "- a", "a: b", "listen: [", "tls: {cert: &x c, key: *x}", "<<: *a", "? a\n: b", "a: !!binary x", "%YAML 1.2\n---\n", "--- |\n x\n...\n",
		"a: >-\n  b\n\n c", "\"\\u0000\": 1", "'a''b': \"\\xff\"", "\ufeff", "a: b: c", "\t", "{a, b: c, }", "[[[[[[[[[[[[[[[[[[", "tls:\n- a\n-\n", "listen: ~\nlisten:\n",
		"&a : x", "!t : x", "*a : x", "? : x", ": x", ":", "? ", "- - -", "a: |\n", "a: |9\n x", "\"\n\":", "#", "--- #\n", "...", "---\n---\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c, secrets, err := Parse("parley.yaml", content, nil, nil)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !utf8.ValidString(line) || !strings.HasPrefix(line, "parley.yaml:") {
					t.Fatalf("%q: unreadable error %q", content, line)
				}
			}
			return
		}
		for _, s := range secrets {
			if s.Path == "" || !strings.HasPrefix(s.Where, "parley.yaml:") {
				t.Fatalf("%q: got secret file %+v", content, s)
			}
		}
		var problems []error
		for _, listen := range []string{c.Listen, c.TLS.Listen} {
			if listen != "" {
				problems = append(problems, address(func(c *Config) *string { return &c.Listen }).set(&Config{}, listen))
			}
		}
		for _, problem := range problems {
			if problem != nil {
				t.Fatalf("%q: %v", content, problem)
			}
		}
		if c.ServerName == "" || c.DataDir == "" || c.Listen == "" || c.Registration.Mode == "" || (c.TLS.Cert == "") != (c.TLS.Key == "") {
			t.Fatalf("%q: accepted %+v", content, c)
		}
	})
}

// FuzzArgs checks that neither arguments nor variables make Parse panic, and
// that no error is more than one line.
func FuzzArgs(f *testing.F) {
	for _, s := range []string{"--listen", "--listen=:1", "-h", "--", "-", "=", "--=x", "--config", "PARLEY_LISTEN=\n", "PARLEY_X\x00\n=1", "--a\nb"} {
		f.Add(s, ":1")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, in := range [][2][]string{{{a, b}, nil}, {nil, {a, b}}} {
			_, _, err := Parse("", nil, in[0], in[1])
			if err == nil {
				continue
			}
			var lines int
			for line := range strings.Lines(err.Error()) {
				if lines++; !utf8.ValidString(line) || lines > 4 {
					t.Fatalf("%q: unreadable errors %q", in, err.Error())
				}
			}
		}
	})
}
