package csapi_test

import (
	"net/url"
	"testing"

	"parley/internal/hstest"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

// TestSettingsFollowThoughTheServerIsKilled: at each step.
func TestSettingsFollowThoughTheServerIsKilled(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		a := hstest.New(t).Server("a.test", hstest.Database(location))
		alice, bob := a.Register("alice"), a.Register("bob")
		const client = "/_matrix/client/v3/"
		of := func(u *hstest.User, room, below string) string {
			return client + "user/" + url.PathEscape(string(u.ID)) + "/rooms/" + url.PathEscape(room) + "/" + below
		}
		old := alice.Must("POST", client+"createRoom", `{"preset":"public_chat","room_version":"10","room_alias_name":"cats"}`).Get("room_id").String()
		bob.Must("POST", client+"join/%23cats:a.test", `{}`)
		for _, u := range []*hstest.User{alice, bob} {
			u.Must("PUT", of(u, old, "tags/m.favourite"), `{"order":0.5}`)
		}
		next := alice.Must("POST", client+"rooms/"+url.PathEscape(old)+"/upgrade", `{"new_version":"12"}`).Get("replacement_room").String()
		a.Restart()
		if again := alice.Must("POST", client+"rooms/"+url.PathEscape(old)+"/upgrade", `{"new_version":"12"}`); !again.Get("replacement_room").Is(next) {
			t.Errorf("repeated after a crash: got %s, want %s", again, next)
		}
		since := bob.Must("GET", client+"sync", nil).Get("next_batch").String()
		if got := bob.Must("POST", client+"join/%23cats:a.test", `{}`).Get("room_id"); !got.Is(next) {
			t.Errorf("the alias leads to %s, want %s", got, next)
		}
		a.Restart()
		for tagged := false; !tagged; {
			sync := bob.Must("GET", client+"sync?timeout=10000&since="+url.QueryEscape(since), nil)
			since = sync.Get("next_batch").String()
			for e := range sync.Get("rooms").Get("join").Get(next).Get("account_data").Get("events").Elements() {
				tagged = tagged || e.Get("type").Is("m.tag")
			}
		}
		const want = `{"tags":{"m.favourite":{"order":0.5}}}`
		for _, u := range []*hstest.User{alice, bob} {
			if got := u.Must("GET", of(u, next, "tags"), nil); string(got) != string(canonjson.Value(want)) {
				t.Errorf("the tags of %s are %s", u.ID, got)
			}
		}
	})
}
