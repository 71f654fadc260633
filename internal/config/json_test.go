package config

import (
	"strings"
	"testing"
)

func TestPoliciesThatAreNone(t *testing.T) {
	const document = `{"name":"T","url":"https://example.org/t"}`
	for text, want := range map[string]string{
		`{`:                             "is not JSON",
		`[]`:                            "is not an object",
		`{"t":{"en":` + document + `}}`: "the name and the version of a policy",
		`{"t":{"version":"1 2","en":` + document + `}}`: "the name and the version of a policy",
		`{"t t":{"version":"1","en":` + document + `}}`: "the name and the version of a policy",
		`{"t":1}`:                                 "the name and the version of a policy",
		`{"t":{"version":"1"}}`:                   "it is in no language",
		`{"t":{"version":"1","en":1}}`:            "en has to have a name, and a url",
		`{"t":{"version":"1","en":{"name":"T"}}}`: "en has to have a name, and a url",
		`{"t":{"version":"1","en":{"name":"","url":"https://example.org"}}}`:        "en has to have a name, and a url",
		`{"t":{"version":"1","en":{"name":"T","url":"javascript:alert(1)"}}}`:       "en has to have a name, and a url",
		`{"t":{"version":"1","en":{"name":"T","url":"https://a.test","nane":"T"}}}`: "en has to have a name, and a url",
	} {
		_, _, err := Parse("", nil, []string{"PARLEY_REGISTRATION_TERMS=" + text}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
