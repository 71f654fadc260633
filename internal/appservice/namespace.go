package appservice

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
)

// A namespace is what a regular expression matches from the beginning on: whatever
// may follow, as other servers understand it, unless it ends with $.
type namespace struct {
	text      string
	regex     *regexp.Regexp
	program   *syntax.Prog
	exclusive bool
}

// longestRegex is how many bytes a regular expression may have. Work with it grows
// with its length.
const longestRegex = 2000

func newNamespace(text string, exclusive bool) (namespace, error) {
	switch {
	case text == "":
		return namespace{}, errors.New("regex is missing")
	case len(text) > longestRegex:
		return namespace{}, fmt.Errorf("regex has more than %d bytes", longestRegex)
	}
	anchored := "^(?:" + text + ")"
	n := namespace{text: text, exclusive: exclusive}
	var err error
	if n.regex, err = regexp.Compile(anchored); err != nil {
		return namespace{}, fmt.Errorf("regex %q is not understood, what looks around is not: %w", text, err)
	}
	tree, err := syntax.Parse(anchored, syntax.Perl)
	if err == nil {
		n.program, err = syntax.Compile(tree.Simplify())
	}
	return n, err
}

// namespaces are those of one kind.
type namespaces []namespace

func (list namespaces) match(name string) bool {
	return slices.ContainsFunc(list, func(n namespace) bool { return n.regex.MatchString(name) })
}

// exclude reports whether a name is in one that is exclusive.
func (list namespaces) exclude(name string) bool {
	return slices.ContainsFunc(list, func(n namespace) bool { return n.exclusive && n.regex.MatchString(name) })
}

// clash returns two exclusive namespaces that have a name in common.
func (list namespaces) clash(other namespaces) (a, b namespace, clash bool) {
	for _, a := range list {
		for _, b := range other {
			if a.exclusive && b.exclusive && overlap(a.program, b.program) {
				return a, b, true
			}
		}
	}
	return namespace{}, namespace{}, false
}
