package sso

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseProviders(t *testing.T) {
	const one = `{"id":"one","name":"One","issuer":"https://id.test","client_id":"c"`
	for _, row := range []struct{ text, wrong string }{
		{`[]`, ""},
		{`[` + one + `}]`, ""},
		{`[` + one + `,"client_secret":"s3cret","icon":"mxc://a.test/x","brand":"x","scopes":["openid"],"closed":true,"existing":true}]`, ""},
		{`{}`, "not a JSON array"},
		{`[] []`, "not a JSON array"},
		{`[` + one + `,"more":1}]`, "not a JSON array"},
		{`[{"id":"a b","name":"One","issuer":"https://id.test","client_id":"c"}]`, "number 1 a provider without an id"},
		{`[` + one + `},` + one + `}]`, "number 2 a provider whose id another one has"},
		{`[` + strings.Replace(one, "https://id.test", "id.test", 1) + `}]`, "issuer"},
		{`[` + one + `,"icon":"https://a.test/x"}]`, "icon"},
		{`[` + strings.Replace(one, `"c"`, `""`, 1) + `,"client_secret":"s3cret"}]`, "without name or client_id"},
	} {
		_, err := ParseProviders([]byte(row.text))
		if (err == nil) != (row.wrong == "") || err != nil && (!strings.Contains(err.Error(), row.wrong) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: got %v, want %q", row.text, err, row.wrong)
		}
	}
	list, err := ParseProviders([]byte(`[` + one + `,"claims":{"localpart":"nick","email":"-"}}]`))
	if want := (Claims{"nick", "name", "-"}); err != nil || list[0].Claims != want || !reflect.DeepEqual(list[0].Scopes, []string{"openid", "profile", "email"}) {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestWhatAProviderSaysOfSomebody(t *testing.T) {
	p := Provider{Claims: Claims{"preferred_username", "name", "email"}}
	for _, row := range []struct {
		claims map[string]any
		want   Identity
	}{
		{map[string]any{"preferred_username": "a", "name": "A", "email": "a@b.test", "email_verified": true}, Identity{"1", "a", "A", "a@b.test"}},
		{map[string]any{"email": "a@b.test", "email_verified": "true"}, Identity{Subject: "1", Email: "a@b.test"}},
		{map[string]any{"email": "a@b.test"}, Identity{Subject: "1"}},
		{map[string]any{"email": "a@b.test", "email_verified": "false"}, Identity{Subject: "1"}},
		{map[string]any{"preferred_username": 7, "name": "a\x00b"}, Identity{Subject: "1"}},
		{map[string]any{"name": strings.Repeat("x", 1001)}, Identity{Subject: "1"}},
	} {
		if got := p.identity("1", row.claims); got != row.want {
			t.Errorf("%v: got %+v, want %+v", row.claims, got, row.want)
		}
	}
}
