package eventauth_test

import (
	"strings"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

func TestACL(t *testing.T) {
	for _, row := range []struct {
		name         string
		content      string
		allows, bars string // server names
	}{
		{"allowing all but some", `{"allow":["*"],"deny":["evil.test","*.evil.test"]}`,
			"good.test evil.test.good.test notevil.test evil evil.tes", "evil.test sub.evil.test a.b.evil.test"},
		{"allowing some", `{"allow":["good.test","*.good.test"]}`, "good.test sub.good.test", "evil.test notgood.test good.test.evil"},
		{"denying comes before allowing", `{"allow":["evil.test"],"deny":["evil.test"]}`, "", "evil.test good.test"},
		{"denying alone bars all", `{"deny":["evil.test"]}`, "", "evil.test good.test"},
		{"empty content bars all", `{}`, "", "good.test 1.2.3.4 [::1]"},
		{"ports do not count", `{"allow":["*"],"deny":["evil.test","1.2.3.4","[::1]"]}`,
			"good.test:8448 1.2.3.5:80", "evil.test:8448 evil.test:1 1.2.3.4:80 [::1]:8448"},
		{"a pattern with a port matches nothing", `{"allow":["good.test:8448","other.test:*"]}`, "", "good.test good.test:8448 other.test other.test:1"},
		{"case does not count", `{"allow":["GOOD.test","*.UPPER.*"]}`, "good.test Good.Test GOOD.TEST a.upper.b A.Upper.B", "bad.test"},

		{"literals allowed by default", `{"allow":["*"]}`, "1.2.3.4 [2001:db8::1] 1.2.3.4:80 [::1]:80", ""},
		{"literals denied", `{"allow":["*"],"allow_ip_literals":false}`,
			"good.test 1.2.3.4.test 1.2.3 1.2.3.4.5 0x7f.0.0.1", "1.2.3.4 1.2.3.4:80 010.0.0.1 [2001:db8::1] [::1]:80 [::ffff:1.2.3.4]"},
		{"literals denied though listed", `{"allow":["1.2.3.4","*"],"allow_ip_literals":false}`, "good.test", "1.2.3.4"},
		{"literals allowed but not listed", `{"allow":["good.test"],"allow_ip_literals":true}`, "good.test", "1.2.3.4 [::1]"},
		{"allow_ip_literals is no boolean", `{"allow":["*"],"allow_ip_literals":"false"}`, "1.2.3.4", ""},
		{"allow_ip_literals is null", `{"allow":["*"],"allow_ip_literals":null}`, "1.2.3.4", ""},
		{"patterns for literals", `{"allow":["*"],"deny":["10.*","[2001:*"]}`, "11.0.0.1 [2002::1]", "10.0.0.1 [2001:db8::1]"},

		{"question marks", `{"allow":["?.test","a??b"]}`, "a.test Z.test axyb", "ab.test .test axb axyzb"},
		{"question marks and stars", `{"allow":["a?*b"]}`, "acb accb abb", "ab a"},
		{"many stars", `{"allow":["*a*b*c*"]}`, "abc xaxbxcx a.b.c", "acb cba ab"},
		{"star at the end", `{"allow":["a.*"]}`, "a.b a.", "a ab.a."},
		{"stars that must go back", `{"allow":["*.b.c.d"]}`, "a.b.c.b.c.d x.b.c.d", "b.c.d a.b.c.d.e"},
		{"an empty pattern matches nothing", `{"allow":[""]}`, "", "a.test"},
		{"brackets and backslashes are no syntax", `{"allow":["[ab].test","a\\*"]}`, "", "a.test b.test a"},
		{"a pattern is of the whole name", `{"allow":["good"]}`, "good", "good.test ungood"},

		{"allow is a string", `{"allow":"*"}`, "", "a.test"},
		{"allow is an object", `{"allow":{"*":"*"}}`, "", "a.test"},
		{"deny is a string", `{"allow":["*"],"deny":"*"}`, "a.test", ""},
		{"some patterns are no strings", `{"allow":[null,7,["b.test"],"a.test"],"deny":[{"a":"a.test"}]}`, "a.test", "b.test"},
	} {
		t.Run(row.name, func(t *testing.T) {
			main := roomtest.New(t, roomver.Default).Create(alice, nil)
			acl := eventauth.NewACL(main.Build(roomtest.ServerACL(alice, row.content)))
			for server := range strings.FieldsSeq(row.allows) {
				if !acl.Allows(id.ServerName(server)) {
					t.Errorf("%s bars %s", row.content, server)
				}
			}
			for server := range strings.FieldsSeq(row.bars) {
				if acl.Allows(id.ServerName(server)) {
					t.Errorf("%s allows %s", row.content, server)
				}
			}
		})
	}
}

func TestNoACLAllowsAll(t *testing.T) {
	var zero eventauth.ACL
	for _, acl := range []eventauth.ACL{zero, eventauth.NewACL(nil)} {
		for _, server := range []id.ServerName{"a.test", "1.2.3.4", "[::1]:80"} {
			if !acl.Allows(server) {
				t.Errorf("%s is barred", server)
			}
		}
	}
}

// slowGlob is the definition of the patterns, and exponential.
func slowGlob(glob, s string) bool {
	if glob == "" {
		return s == ""
	}
	switch {
	case glob[0] == '*':
		return slowGlob(glob[1:], s) || s != "" && slowGlob(glob, s[1:])
	case s == "":
		return false
	case glob[0] == '?' || glob[0] == s[0]:
		return slowGlob(glob[1:], s[1:])
	}
	return false
}

// FuzzACL compares single patterns with their definition and asks for any
// content and server name.
func FuzzACL(f *testing.F) {
	f.Add("*.evil.test", "sub.evil.test", `{"allow":["*"],"deny":["*.evil.test"]}`)
	f.Add("a*b?c*", "aXbYbZc", `{"allow":"*"}`)
	f.Add("", "1.2.3.4:80", `{"allow_ip_literals":false}`)
	f.Add("*é?", "[::1]", `{"deny":[null]}`)
	f.Fuzz(func(t *testing.T, glob, server, content string) {
		main := roomtest.New(t, roomver.Default).Create(alice, nil)
		if e, err := main.TryBuild(roomtest.ServerACL(alice, content)); err == nil {
			eventauth.NewACL(e).Allows(id.ServerName(server))
		}
		if len(glob) > 12 || len(server) > 12 || !ascii(glob+server) || strings.ContainsAny(server, ":[]") {
			return
		}
		e, err := main.TryBuild(roomtest.ServerACL(alice, map[string]any{"allow": []string{glob}}))
		if err != nil {
			return
		}
		want := slowGlob(strings.ToLower(glob), strings.ToLower(server))
		if got := eventauth.NewACL(e).Allows(id.ServerName(server)); got != want {
			t.Errorf("pattern %q, server %q: got %v, want %v", glob, server, got, want)
		}
	})
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
