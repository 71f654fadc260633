package stateres_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parley/matrix/roomver"
)

// goldenScript is a .room file.
type goldenScript struct {
	versions []roomver.Version
	lines    []goldenLine
}

// goldenLine is a command or an event.
type goldenLine struct {
	num      int
	versions []roomver.Version // nil: all of the room
	label    string            // set for events only
	verb     string
	args     []string
	json     string // "" when there is none
	attrs    map[string]string
}

func (l goldenLine) in(v roomver.Version) bool {
	return l.versions == nil || slices.Contains(l.versions, v)
}

// goldenVerbs are the verbs of events, with how many words at least follow,
// the sender included, and how many of them go into the label.
var goldenVerbs = map[string]struct{ args, labelled int }{
	"create": {1, 1}, "join": {1, 1}, "leave": {1, 1}, "knock": {1, 1},
	"invite": {2, 2}, "kick": {2, 2}, "ban": {2, 2}, "unban": {2, 2},
	"power": {1, 1}, "rule": {2, 1}, "topic": {2, 1}, "say": {1, 1}, "redact": {2, 2},
	"issue": {3, 1}, "claim": {4, 2}, "state": {3, 1}, "send": {2, 1},
}

// goldenCommands are the other verbs, with how many words at least follow.
var goldenCommands = map[string]int{
	"versions": 1, "branch": 1, "on": 1, "merge": 1, "pretend": 1, "forget": 1,
}

var goldenAttrs = []string{"ts", "auth", "prev", "depth", "id-before", "hash-before", "sign", "room"}

var (
	goldenLabel    = regexp.MustCompile(`^([a-z0-9.-]+): `)
	goldenVersions = regexp.MustCompile(`^\[([^]]*)\] `)
	goldenWord     = regexp.MustCompile(`[^a-z0-9.-]+`)
)

// parseGolden reads a script. Errors begin with the number of a line.
func parseGolden(text string) (*goldenScript, error) {
	s := &goldenScript{}
	labels := make(map[string]int)
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		l, err := parseGoldenLine(line)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", i+1, err)
		}
		l.num = i + 1
		switch {
		case l.verb == "versions":
			if s.versions, err = parseVersions(strings.Join(l.args, " ")); err != nil {
				return nil, fmt.Errorf("%d: %w", i+1, err)
			}
			continue
		case s.versions == nil:
			return nil, fmt.Errorf("%d: versions must come first", i+1)
		case goldenCommands[l.verb] == 0:
			l.label = uniqueLabel(l, labels)
		}
		s.lines = append(s.lines, l)
	}
	return s, nil
}

// uniqueLabel gives events of different versions the same label when the room
// says so, and otherwise sees to it that no label is used twice.
func uniqueLabel(l goldenLine, used map[string]int) string {
	if l.label != "" {
		used[l.label]++
		return l.label
	}
	words := append([]string{l.verb}, l.args[:goldenVerbs[l.verb].labelled]...)
	label := goldenWord.ReplaceAllString(strings.Join(words, "-"), "")
	used[label]++
	if used[label] > 1 {
		label = fmt.Sprintf("%s-%d", label, used[label])
	}
	return label
}

func parseGoldenLine(line string) (l goldenLine, err error) {
	if m := goldenVersions.FindStringSubmatch(line); m != nil {
		if l.versions, err = parseVersions(m[1]); err != nil {
			return l, err
		}
		line = line[len(m[0]):]
	}
	if m := goldenLabel.FindStringSubmatch(line); m != nil {
		l.label = m[1]
		line = line[len(m[0]):]
	}
	if start := strings.Index(line, " {"); start >= 0 {
		d := json.NewDecoder(strings.NewReader(line[start:]))
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return l, fmt.Errorf("JSON: %w", err)
		}
		l.json = string(raw)
		line = line[:start] + line[start+int(d.InputOffset()):]
	}
	l.attrs = make(map[string]string)
	for _, word := range strings.Fields(line) {
		name, value, isAttr := strings.Cut(word, "=")
		if isAttr && name[0] == '@' {
			if !slices.Contains(goldenAttrs, name[1:]) {
				return l, fmt.Errorf("unknown attribute %s", name)
			}
			l.attrs[name[1:]] = value
			continue
		}
		l.args = append(l.args, word)
	}
	if len(l.args) == 0 {
		return l, fmt.Errorf("neither command nor event")
	}
	l.verb, l.args = l.args[0], l.args[1:]
	least := goldenVerbs[l.verb].args + goldenCommands[l.verb]
	if least == 0 {
		return l, fmt.Errorf("unknown verb %q", l.verb)
	}
	if len(l.args) < least {
		return l, fmt.Errorf("%s: %d words instead of %d", l.verb, len(l.args), least)
	}
	return l, nil
}

// allVersions are the known versions, oldest first.
func allVersions() []roomver.Version {
	var all []roomver.Version
	for rules := range roomver.Known() {
		all = append(all, rules.Version)
	}
	return all
}

// parseVersions reads "1-3 6" or "1-3,6".
func parseVersions(text string) ([]roomver.Version, error) {
	all := allVersions()
	var versions []roomver.Version
	for _, part := range strings.Fields(strings.ReplaceAll(text, ",", " ")) {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := slices.Index(all, roomver.Version(first)), slices.Index(all, roomver.Version(last))
		if from < 0 || to < from {
			return nil, fmt.Errorf("unknown versions %q", part)
		}
		versions = append(versions, all[from:to+1]...)
	}
	return versions, nil
}

// formatVersions is the reverse of parseVersions.
func formatVersions(versions []roomver.Version) string {
	all := allVersions()
	var parts []string
	for i := 0; i < len(all); i++ {
		if !slices.Contains(versions, all[i]) {
			continue
		}
		first := i
		for i+1 < len(all) && slices.Contains(versions, all[i+1]) {
			i++
		}
		part := string(all[first])
		if i > first {
			part += "-" + string(all[i])
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

func TestParseGoldenErrors(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"no versions", "join bob", "1: versions must come first"},
		{"a version nobody knows", "versions 1-99", `1: unknown versions "1-99"`},
		{"a verb nobody knows", "versions 1\njion bob", `2: unknown verb "jion"`},
		{"a word too few", "versions 1\n\nkick bob", "3: kick: 1 words instead of 2"},
		{"an attribute nobody knows", "versions 1\nsay bob @tz=1", "2: unknown attribute @tz"},
		{"half an object", `versions 1` + "\n" + `say bob {"a":`, "2: JSON: unexpected EOF"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := parseGolden(row.text); err == nil || err.Error() != row.want {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
}
