package stateres_test

import (
	"fmt"
	"slices"
	"strings"

	"parley/matrix/eventauth"
	"parley/matrix/roomver"
)

// goldenVerdict is what became of a line in one version.
type goldenVerdict struct {
	text    string
	numbers string // of the rules that refuse it, which differ where words do not
	refused bool
}

// newVerdict combines the answers to whether the auth events of an event and
// the state before it allow it.
func newVerdict(byAuth, before *eventauth.Refusal) goldenVerdict {
	switch {
	case byAuth == nil && before == nil:
		return goldenVerdict{text: "allowed"}
	case byAuth != nil && before != nil && byAuth.Rule == before.Rule:
		return goldenVerdict{text: "refused: " + before.Rule.String(), numbers: before.Number, refused: true}
	case byAuth == nil:
		return goldenVerdict{text: "allowed by its auth events; refused by the state before: " + before.Rule.String(),
			numbers: before.Number, refused: true}
	case before == nil:
		return goldenVerdict{text: "refused by its auth events: " + byAuth.Rule.String() + "; allowed by the state before",
			numbers: byAuth.Number, refused: true}
	}
	return goldenVerdict{
		text:    "refused by its auth events: " + byAuth.Rule.String() + "; by the state before: " + before.Rule.String(),
		numbers: byAuth.Number + " and " + before.Number,
		refused: true,
	}
}

// goldenResults are the verdicts on all lines.
type goldenResults struct {
	versions []roomver.Version
	entries  []*goldenEntry // in the order of their lines
}

type goldenEntry struct {
	line     int
	name     string
	versions []roomver.Version
	verdicts map[roomver.Version]goldenVerdict
}

func (r *goldenResults) add(l goldenLine, version roomver.Version, v goldenVerdict) {
	i, found := slices.BinarySearchFunc(r.entries, l.num, func(e *goldenEntry, num int) int { return e.line - num })
	if !found {
		name := l.label
		if name == "" {
			name = l.verb + " " + strings.Join(l.args, " ")
		}
		r.entries = slices.Insert(r.entries, i, &goldenEntry{
			line: l.num, name: name, verdicts: make(map[roomver.Version]goldenVerdict)})
	}
	e := r.entries[i]
	e.versions = append(e.versions, version)
	e.verdicts[version] = v
}

// String is the .want file.
func (r *goldenResults) String() string {
	var out strings.Builder
	for _, e := range r.entries {
		out.WriteString(e.name + ":")
		texts := e.groups(e.versions, func(v goldenVerdict) string { return v.text })
		indent := "    "
		for _, group := range texts {
			if len(group) < len(r.versions) {
				fmt.Fprintf(&out, "\n    %s:", formatVersions(group))
				indent = "        "
			}
			text := e.verdicts[group[0]].text + e.numbers(group)
			if e.verdicts[group[0]].isList() {
				text = "\n" + indent + strings.ReplaceAll(text, "\n", "\n"+indent)
			} else {
				text = " " + text
			}
			out.WriteString(text)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// isList reports whether the text is about places in the state.
func (v goldenVerdict) isList() bool {
	return !v.refused && strings.Contains(v.text, ": ")
}

// groups divides versions by what f says of their verdicts.
func (e *goldenEntry) groups(versions []roomver.Version, f func(goldenVerdict) string) [][]roomver.Version {
	var groups [][]roomver.Version
	for _, version := range versions {
		i := slices.IndexFunc(groups, func(group []roomver.Version) bool {
			return f(e.verdicts[group[0]]) == f(e.verdicts[version])
		})
		if i < 0 {
			groups = append(groups, []roomver.Version{version})
		} else {
			groups[i] = append(groups[i], version)
		}
	}
	return groups
}

// numbers returns the numbers of the rules by version.
func (e *goldenEntry) numbers(versions []roomver.Version) string {
	groups := e.groups(versions, func(v goldenVerdict) string { return v.numbers })
	if len(groups) == 1 {
		if n := e.verdicts[versions[0]].numbers; n != "" {
			return " (" + n + ")"
		}
		return ""
	}
	var parts []string
	for _, group := range groups {
		parts = append(parts, formatVersions(group)+": "+e.verdicts[group[0]].numbers)
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
