package appservice

import (
	"os"
	"path/filepath"
	"regexp/syntax"
	"strings"
	"testing"

	"parley/matrix/id"
)

// Registration is that of a bridge, with other lines instead of those that begin alike,
// or further ones.
func Registration(name string, lines ...string) string {
	members := map[string]string{
		"id": name, "url": "http://127.0.0.1:1234", "as_token": "as_" + name, "hs_token": "hs_" + name, "sender_localpart": "_" + name + "_bot",
		"namespaces": `{users: [{exclusive: true, regex: '@_` + name + `_.*:a\.test$'}], aliases: [{exclusive: true, regex: '#_` + name + `_.*'}], rooms: []}`,
	}
	for _, line := range lines {
		member, value, _ := strings.Cut(line, ": ")
		members[member] = value
	}
	var text strings.Builder
	for member, value := range members {
		text.WriteString(member + ": " + value + "\n")
	}
	return text.String()
}

// files writes registrations, by the name of the file, into a directory.
func files(t *testing.T, dir string, contents map[string]string) {
	t.Helper()
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRegistrationsAsBridgesWriteThem(t *testing.T) {
	for _, row := range []struct {
		name, text string
		check      func(s *Service) bool
	}{
		{"one without traffic has a null url", Registration("irc", "url: null"), func(s *Service) bool { return s.URL == "" }},
		{"an empty url is none, too", Registration("irc", `url: ""`), func(s *Service) bool { return s.URL == "" }},
		{"the url may have a path, and a slash at its end", Registration("irc", "url: https://bridge.test/irc/"),
			func(s *Service) bool { return s.URL == "https://bridge.test/irc" }},
		{"who says nothing of rates is limited", Registration("irc"), func(s *Service) bool { return s.RateLimited }},
		{"and who says so is not", Registration("irc", "rate_limited: false"), func(s *Service) bool { return !s.RateLimited }},
		{"ephemeral events by their present name", Registration("irc", "receive_ephemeral: true", "de.sorunome.msc2409.push_ephemeral: true"),
			func(s *Service) bool { return s.Ephemeral && !s.OldNames }},
		{"ephemeral events by their old name", Registration("irc", "de.sorunome.msc2409.push_ephemeral: true"),
			func(s *Service) bool { return s.Ephemeral && s.OldNames }},
		{"encryption", Registration("irc", "org.matrix.msc3202: true", "io.element.msc4190: true", "receive_ephemeral: true"), func(s *Service) bool { return s.Encryption && s.ToDevice }},
		{"what nobody knows is ignored", Registration("irc", "com.example.magic: {a: [1, 2]}", "push_ephemeral: 7"), func(s *Service) bool { return s.ID == "irc" }},
		{"namespaces may be missing", Registration("irc", "namespaces: {users: null}"), func(s *Service) bool { return !s.Owns("@_irc_x:a.test") }},
		{"the sender is its own", Registration("irc"), func(s *Service) bool { return s.Owns("@_irc_bot:a.test") && s.OwnsAlone("@_irc_bot:a.test") }},
		{"a namespace matches from the beginning", Registration("irc", "namespaces: {users: [{regex: '@irc'}]}"),
			func(s *Service) bool {
				return s.Owns("@ircnet:a.test") && !s.Owns("@my@irc:a.test") && !s.OwnsAlone("@ircnet:a.test")
			}},
		{"users of other servers are nobody's", Registration("irc", "namespaces: {users: [{regex: '@.*'}]}"), func(s *Service) bool { return !s.Owns("@x:b.test") }},
		{"protocols", Registration("irc", "protocols: [irc, matrix]"), func(s *Service) bool { return len(s.Protocols) == 2 }},
	} {
		s, err := parse([]byte(row.text), "a.test")
		if err != nil || !row.check(s) {
			t.Errorf("%s: got %+v, %v of\n%s", row.name, s, err, row.text)
		}
	}
}

func TestFilesThatAreNoRegistrations(t *testing.T) {
	for _, row := range []struct{ name, text, want string }{
		{"no YAML", "id: [", "is no registration in YAML"},
		{"nothing", "", "id is missing"},
		{"no token", Registration("irc", `as_token: ""`), "as_token is missing"},
		{"a sender that cannot be", Registration("irc", "sender_localpart: 'A B'"), "sender_localpart"},
		{"a url that is none", Registration("irc", "url: websocket"), "url is not"},
		{"a regex that is none", Registration("irc", "namespaces: {rooms: [{regex: '!a'}, {regex: '(('}]}"), "namespaces.rooms[1]: regex \"((\""},
		{"a regex that looks ahead", Registration("irc", "namespaces: {users: [{regex: '@(?!bot).*'}]}"), "namespaces.users[0]"},
		{"a regex that is missing", Registration("irc", "namespaces: {users: [{exclusive: true}]}"), "regex is missing"},
		{"a regex that is endless", Registration("irc", "namespaces: {users: [{regex: '"+strings.Repeat("a", 3000)+"'}]}"), "regex has more than"},
		{"a regex that repeats endlessly", Registration("irc", "namespaces: {users: [{regex: '((a{100}){100}){100}'}]}"), "namespaces.users[0]"},
	} {
		if s, err := parse([]byte(row.text), "a.test"); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %+v, %v, want an error with %q", row.name, s, err, row.want)
		}
	}
}

func TestAnErrorDoesNotRepeatTokens(t *testing.T) {
	_, err := parse([]byte("id: irc\nas_token: {secret: hidden}\nhs_token: hidden\n"), "a.test")
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
}

func TestServicesThatExcludeEachOther(t *testing.T) {
	for _, row := range []struct{ name, one, other, want string }{
		{"different services", Registration("irc"), Registration("xmpp"), ""},
		{"the same id", Registration("irc"), Registration("xmpp", "id: irc"), `same id "irc"`},
		{"the same as_token", Registration("irc"), Registration("xmpp", "as_token: as_irc"), "same as_token"},
		{"the same hs_token", Registration("irc"), Registration("xmpp", "hs_token: hs_irc"), "same hs_token"},
		{"the same sender", Registration("irc"), Registration("xmpp", "sender_localpart: _irc_bot"), "same sender_localpart"},
		{"the same users", Registration("irc"), Registration("xmpp", "namespaces: {users: [{exclusive: true, regex: '@_irc_x.*'}]}"), "the same users"},
		{"the same users, not alone", Registration("irc"), Registration("xmpp", "namespaces: {users: [{exclusive: false, regex: '@.*:a.test'}]}"), ""},
		{"the same aliases", Registration("irc"), Registration("xmpp", "namespaces: {aliases: [{exclusive: true, regex: '#_irc_a'}]}"), "the same aliases"},
		{"rooms are nobody's", Registration("irc", "namespaces: {rooms: [{exclusive: true, regex: '!.*'}]}"),
			Registration("xmpp", "namespaces: {rooms: [{exclusive: true, regex: '!.*'}]}"), ""},
		{"a sender among the users of the other", Registration("irc"), Registration("xmpp", "sender_localpart: _irc_other"), "the sender of xmpp"},
	} {
		dir := t.TempDir()
		files(t, dir, map[string]string{"one.yaml": row.one, "other.yml": row.other, "notes.txt": "id: [", ".hidden.yaml": "id: ["})
		set, err := Load(dir, []string{filepath.Join(dir, "one.yaml")}, "a.test")
		if row.want == "" {
			if err != nil || len(set.All()) != 2 {
				t.Errorf("%s: got %v, %v", row.name, set.All(), err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "one.yaml") || !strings.Contains(err.Error(), "other.yml") {
			t.Errorf("%s: got %v, want an error with %q and both files", row.name, err, row.want)
		}
	}
}

func TestAllBadFilesAreNamed(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"a.yaml": "id: [", "b.yaml": Registration("irc"), "c.yaml": "{}"})
	_, err := Load(dir, []string{filepath.Join(dir, "missing.yaml")}, "a.test")
	for _, name := range []string{"a.yaml", "c.yaml", "missing.yaml"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %s in it", err, name)
		}
	}
	if _, err := Load(filepath.Join(dir, "nowhere"), nil, "a.test"); err == nil {
		t.Error("a directory that is not there is no error")
	}
}

func TestTextsThatTwoExpressionsMatch(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{"@irc_.*", "@xmpp_.*", false},
		{"@irc_.*", "@irc_.*", true},
		{"@irc", "@irc_bot", true}, // whatever follows the first
		{"@irc$", "@irc_bot", false},
		{"@irc$", "@irc", true},
		{"@irc(_bot)?$", "@irc_bot$", true},
		{"@(a|b)_.*", "@(b|c)_.*", true},
		{"@(a|b)_.*", "@(c|d)_.*", false},
		{"@[a-f]+:a", "@[g-z]+:a", false},
		{"@[a-f]+:a", "@[e-z]+:a", true},
		{"@[^:]*_irc:", "@discord_[^:]*:", true}, // discord_irc
		{"@[0-9]+:", `@\d{3}:`, true},
		{"(?i)@IRC_", "@irc_a", true},
		{"@irc_", "@IRC_", false},
		{"^@irc_", "@irc_", true},
		{"@a^b", "@a", false},
		{"@.*x", "@y*$", false},
		{".*", "#x", true},
		{`@\birc\b`, "@irc", true},
	} {
		for _, two := range [][2]string{{row.a, row.b}, {row.b, row.a}} {
			var programs [2]*syntax.Prog
			for i, text := range two {
				n, err := newNamespace(text, true)
				if err != nil {
					t.Fatal(err)
				}
				programs[i] = n.program
			}
			if got := overlap(programs[0], programs[1]); got != row.want {
				t.Errorf("%q and %q: got %v, want %v", two[0], two[1], got, row.want)
			}
		}
	}
}

func TestWhatIsReservedForAService(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"irc.yaml": Registration("irc"), "log.yaml": Registration("log", `namespaces: {users: [{regex: '@.*'}], aliases: [{regex: '#.*'}]}`)})
	set, err := Load(dir, nil, "a.test")
	if err != nil {
		t.Fatal(err)
	}
	irc, log := set.ByID("irc"), set.ByID("log")
	if set.ByToken("as_irc") != irc || set.ByToken("hs_irc") != nil || set.ByToken("") != nil || (*Set)(nil).ByToken("x") != nil {
		t.Error("a service is not known by its as_token alone")
	}
	for user, want := range map[id.UserID][3]bool{ // for nobody, irc, log
		"@_irc_x:a.test":   {true, false, true},
		"@_irc_bot:a.test": {true, false, true},
		"@_log_bot:a.test": {true, true, false},
		"@alice:a.test":    {false, false, false},
		"@_irc_x:b.test":   {false, false, false},
	} {
		if got := [3]bool{set.Reserved(user, nil), set.Reserved(user, irc), set.Reserved(user, log)}; got != want {
			t.Errorf("%s: got %v, want %v", user, got, want)
		}
	}
	if !set.ReservedAlias("#_irc_x:a.test", nil) || set.ReservedAlias("#_irc_x:a.test", irc) || set.ReservedAlias("#x:a.test", nil) {
		t.Error("an exclusive alias is not reserved for its service alone")
	}
}
