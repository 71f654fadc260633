package apitest

import (
	"fmt"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/internal/openapi"
)

// TestEventsOfNewRoomsAreAsTheSpecificationHasThem looks into what the server puts
// into rooms by itself, in each version and for each preset. What clients put there
// is not its business.
func TestEventsOfNewRoomsAreAsTheSpecificationHasThem(t *testing.T) {
	alice := hstest.New(t).Server("a.test").Register("alice")
	spec, c := openapi.New(), "/_matrix/client/v3/"
	versions := alice.Must("GET", c+"capabilities", nil).Get("capabilities").Get("m.room_versions").Get("available")
	n := 0
	for version := range versions.Members() {
		n++
		for i, preset := range []string{"private_chat", "public_chat", "trusted_private_chat"} {
			create := fmt.Sprintf(`{"room_version":%q,"preset":%q,"name":"x","topic":"x","room_alias_name":"alias-%s-%d","invite":["@bob:a.test"],"is_direct":true}`, version, preset, version, i)
			room := text(alice.Must("POST", c+"createRoom", create), "room_id")
			var types []string
			for e := range alice.Must("GET", c+"rooms/"+room+"/state", nil).Elements() {
				kind := text(e, "type")
				types = append(types, kind)
				for _, wrong := range spec.Content(kind, e.Get("content")) {
					t.Errorf("version %s, %s: %s: %s", version, preset, kind, wrong)
				}
			}
			for _, kind := range []string{"create", "member", "power_levels", "join_rules", "history_visibility", "canonical_alias", "name", "topic"} {
				if !strings.Contains(strings.Join(types, " "), "m.room."+kind) {
					t.Errorf("version %s, %s: there is no m.room.%s", version, preset, kind)
				}
			}
		}
	}
	if n != 14 {
		t.Errorf("rooms of %d versions were looked into", n)
	}
}

// TestAccountDataOfNewUsersIsAsTheSpecificationHasIt looks into what a user has
// without having put it there.
func TestAccountDataOfNewUsersIsAsTheSpecificationHasIt(t *testing.T) {
	alice := hstest.New(t).Server("a.test").Register("alice")
	spec, n := openapi.New(), 0
	events := alice.Must("GET", "/_matrix/client/v3/sync", nil).Get("account_data").Get("events")
	for e := range events.Elements() {
		n++
		for _, wrong := range spec.Content(text(e, "type"), e.Get("content")) {
			t.Errorf("%s: %s", text(e, "type"), wrong)
		}
	}
	if n == 0 {
		t.Errorf("there is none")
	}
}
