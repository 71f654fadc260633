package id

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// fuzzParser checks what holds for every parser: no panic, input accepted
// unchanged or refused with a readable error, and parts that make up the whole.
func fuzzParser[T ~string](f *testing.F, parse func(string) (T, error), recompose func(T) string, maxLength int, seeds ...string) {
	for _, s := range append(seeds, "", ":", "\x00", "\xff", "a:b:c", strings.Repeat("x", 300)) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		exercise(s)
		v, err := parse(s)
		if err != nil {
			if v != "" || !utf8.ValidString(err.Error()) {
				t.Fatalf("%q: got %q and error %q", s, v, err)
			}
			return
		}
		if string(v) != s || s == "" || len(s) > maxLength || !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			t.Fatalf("accepted %q as %q", s, v)
		}
		if got := recompose(v); got != s {
			t.Fatalf("%q: parts make %q", s, got)
		}
	})
}

func recomposeServer(n ServerName) string {
	s := n.Host()
	if port := n.Port(); port != "" {
		s += ":" + port
	}
	return s
}

func FuzzParseServerName(f *testing.F) {
	fuzzParser(f, ParseServerName, recomposeServer, MaxLength, "example.org:8448", "1.2.3.4:5", "[2001:db8::1]:80", "[::ffff:1.2.3.4]", "1.2.3.256")
}

func FuzzParseStrictServerName(f *testing.F) {
	fuzzParser(f, ParseStrictServerName, recomposeServer, maxOwnServerName, "example.org:8448", "1.2.3.4:5", "[2001:db8::1]:80", "a..b", "-a", "01.2.3.4")
}

// recomposeUser and its like parse the server again: it must be valid alone.
func recomposeUser(u UserID) string {
	server, err := ParseServerName(string(u.Server()))
	if err != nil {
		return err.Error()
	}
	return "@" + u.Localpart() + ":" + string(server)
}

func FuzzParseUserID(f *testing.F) {
	fuzzParser(f, ParseUserID, recomposeUser, MaxLength, "@alice:example.org:8448", "@:a", "@é:[::1]:80")
}

func FuzzParseStrictUserID(f *testing.F) {
	fuzzParser(f, ParseStrictUserID, recomposeUser, MaxLength, "@alice:example.org:8448", "@:a", "@A:b")
}

func FuzzParseRoomID(f *testing.F) {
	fuzzParser(f, ParseRoomID, func(r RoomID) string {
		if event, ok := r.CreateEventID(); ok {
			back, _ := event.RoomID()
			return string(back)
		}
		name, _ := r.Server()
		server, err := ParseServerName(string(name))
		if err != nil {
			return err.Error()
		}
		localpart := strings.TrimSuffix(string(r), ":"+string(server))
		return localpart + ":" + string(server)
	}, MaxLength, "!abc:example.org", "!"+hash, "!:a")
}

func FuzzParseRoomAlias(f *testing.F) {
	fuzzParser(f, ParseRoomAlias, func(a RoomAlias) string {
		server, err := ParseServerName(string(a.Server()))
		if err != nil {
			return err.Error()
		}
		return "#" + a.Localpart() + ":" + string(server)
	}, MaxLength, "#general:example.org", "#:a")
}

func FuzzParseEventID(f *testing.F) {
	fuzzParser(f, ParseEventID, func(e EventID) string {
		if room, ok := e.RoomID(); ok {
			back, _ := room.CreateEventID()
			return string(back)
		}
		name, _ := e.Server()
		server, err := ParseServerName(string(name))
		if err != nil {
			return err.Error()
		}
		localpart := strings.TrimSuffix(string(e), ":"+string(server))
		return localpart + ":" + string(server)
	}, MaxLength, "$abc:example.org", "$"+hash, "$:a")
}

func FuzzParseKeyID(f *testing.F) {
	fuzzParser(f, ParseKeyID, func(k KeyID) string { return k.Algorithm() + ":" + k.Version() }, MaxLength, "ed25519:auto", "a:b:c", ":a", "a:")
}

func FuzzParseStrictKeyID(f *testing.F) {
	fuzzParser(f, ParseStrictKeyID, func(k KeyID) string { return k.Algorithm() + ":" + k.Version() }, MaxLength, "ed25519:auto", "a:b-c")
}

func FuzzParseContentURI(f *testing.F) {
	fuzzParser(f, ParseContentURI, func(u ContentURI) string {
		if !IsOpaque(u.MediaID()) {
			return "media ID " + u.MediaID()
		}
		return "mxc://" + string(u.Server()) + "/" + u.MediaID()
	}, len(contentScheme)+MaxLength+1+MaxLength, "mxc://example.org/abc", "mxc://a/../b", "mxc://[::1]:80/-")
}

func FuzzParseDeviceID(f *testing.F) {
	fuzzParser(f, ParseDeviceID, func(d DeviceID) string { return string(d) }, MaxLength, "JLAFKJWSCS", "a b")
}

func FuzzParseStrictDeviceID(f *testing.F) {
	fuzzParser(f, ParseStrictDeviceID, func(d DeviceID) string {
		if !IsOpaque(string(d)) {
			return "not opaque"
		}
		return string(d)
	}, MaxLength, "JLAFKJWSCS", "a~b", "a b")
}
