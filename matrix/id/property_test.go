package id

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// serverNames generates names of every kind, short enough to leave room for a
// localpart.
var serverNames = rapid.Custom(func(t *rapid.T) ServerName {
	host := rapid.OneOf(
		rapid.StringMatching(`[a-zA-Z][a-zA-Z0-9.-]{0,40}`),
		rapid.Custom(func(t *rapid.T) string {
			var a [4]byte
			copy(a[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "IPv4"))
			return netip.AddrFrom4(a).String()
		}),
		rapid.Custom(func(t *rapid.T) string {
			var a [16]byte
			copy(a[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "IPv6"))
			return "[" + netip.AddrFrom16(a).String() + "]"
		}),
	).Draw(t, "host")
	if rapid.Bool().Draw(t, "has port") {
		host += ":" + strconv.Itoa(rapid.IntRange(0, 99999).Draw(t, "port"))
	}
	return ServerName(host)
})

// historicalLocalparts generates anything but colon and NUL, up to 60 bytes.
var historicalLocalparts = rapid.Map(rapid.String(), func(s string) string {
	s = strings.NewReplacer(":", "", "\x00", "").Replace(strings.ToValidUTF8(s, ""))
	for len(s) > 60 {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
})

func TestServerNamesRecompose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := serverNames.Draw(t, "name")
		if _, err := ParseServerName(string(name)); err != nil {
			t.Fatal(err)
		}
		back := name.Host()
		if port := name.Port(); port != "" {
			back += ":" + port
		}
		if back != string(name) {
			t.Fatalf("%q: got %q from its parts", name, back)
		}
	})
}

func TestQualifiedIdentifiersRecompose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		localpart := historicalLocalparts.Draw(t, "localpart")
		server := serverNames.Draw(t, "server")

		user, err := ParseUserID("@" + localpart + ":" + string(server))
		if err != nil || user.Localpart() != localpart || user.Server() != server {
			t.Fatalf("got %q of %q and %q, %v", user, user.Localpart(), user.Server(), err)
		}
		alias, err := ParseRoomAlias("#" + localpart + ":" + string(server))
		if err != nil || alias.Localpart() != localpart || alias.Server() != server {
			t.Fatalf("got %q of %q and %q, %v", alias, alias.Localpart(), alias.Server(), err)
		}
		room, err := ParseRoomID("!" + localpart + ":" + string(server))
		if got, ok := room.Server(); err != nil || got != server || !ok || !room.HasForm(Qualified) {
			t.Fatalf("got %q of %q, %t, %v", room, got, ok, err)
		}
		event, err := ParseEventID("$" + localpart + ":" + string(server))
		if got, ok := event.Server(); err != nil || got != server || !ok || !event.HasForm(Qualified) {
			t.Fatalf("got %q of %q, %t, %v", event, got, ok, err)
		}
	})
}

// What this server may create must be readable by everything else it does.
func TestStrictImpliesTolerantAndCompliant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		localpart := rapid.StringMatching(`[a-z0-9.=_/+-]{1,60}`).Draw(t, "localpart")
		user, err := NewUserID(localpart, serverNames.Draw(t, "server"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseUserID(string(user)); err != nil || !user.Compliant() {
			t.Fatalf("%q: %v, compliant %t", user, err, user.Compliant())
		}
	})
}

func TestRoomAndCreateEventAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opaque := rapid.StringMatching(`[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]`).Draw(t, "hash")
		event, err := ParseEventID("$" + opaque)
		if err != nil || !event.HasForm(Base64URL) {
			t.Fatalf("got %q, %v", event, err)
		}
		room, ok := event.RoomID()
		if !ok || !room.HasForm(Base64URL) {
			t.Fatalf("got room %q, %t", room, ok)
		}
		if back, ok := room.CreateEventID(); back != event || !ok {
			t.Fatalf("got %q, %t, want %q", back, ok, event)
		}
	})
}

func TestJSONAndSQLRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := UserID("@" + historicalLocalparts.Draw(t, "localpart") + ":" + string(serverNames.Draw(t, "server")))
		text, err := json.Marshal(map[UserID]UserID{user: user})
		if err != nil {
			t.Fatal(err)
		}
		var back map[UserID]UserID
		if err := json.Unmarshal(text, &back); err != nil || back[user] != user {
			t.Fatalf("%s: got %v, %v", text, back, err)
		}
		stored, err := user.Value()
		if err != nil {
			t.Fatal(err)
		}
		var scanned UserID
		if err := scanned.Scan(stored); err != nil || scanned != user {
			t.Fatalf("got %q, %v, want %q", scanned, err, user)
		}
	})
}
