package config

import "strings"

// suggestion is what to add to a complaint about a name that is not known: the
// nearest of the known ones, or where to find them all. A prefix that all names
// of a kind have does not make them alike.
func suggestion(prefix, name string, known []string) string {
	name = strings.TrimPrefix(name, prefix)
	best, least := "", 0
	for _, k := range known {
		if d := unlikeness(name, strings.TrimPrefix(k, prefix)); best == "" || d < least {
			best, least = k, d
		}
	}
	if best == "" || 2*least > len(best)-len(prefix) {
		return "; --help lists all that are"
	}
	return ", did you mean " + best + "?"
}

// unlikeness is the edit distance of two names without regard to case. A key in the wrong section, or
// in none, is as near as can be: its name is right.
func unlikeness(name, known string) int {
	if lastPart(name) == lastPart(known) {
		return 1
	}
	return editDistance(strings.ToLower(name), strings.ToLower(known))
}

func lastPart(name string) string {
	return name[strings.LastIndexByte(name, '.')+1:]
}

// editDistance counts the bytes to insert, remove or replace to make b of a,
// after Levenshtein. It takes len(a)·len(b) steps; known names are short.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
