package csapi

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// ask answers a request, which must be good.
func (r *reading) ask(user, path string) canonjson.Value {
	r.Helper()
	request := httptest.NewRequest("GET", path, nil)
	request.Header.Set("Authorization", "Bearer "+user)
	w := httptest.NewRecorder()
	r.table.ServeHTTP(w, request)
	v, err := canonjson.Canonical(w.Body.Bytes(), canonjson.Lenient)
	if w.Code != 200 || err != nil {
		r.Fatalf("%s: got %d %s (%v)", path, w.Code, w.Body, err)
	}
	return v
}

func (r *reading) send(roomID id.RoomID, d room.Draft) id.EventID {
	r.Helper()
	sent, err := r.Rooms.Send(r.Context(), roomID, d)
	if err != nil {
		r.Fatal(err)
	}
	return sent.EventID
}

// TestWhatErasedUsersSaidIsForWhoWasThere: wherever events are shown.
func TestWhatErasedUsersSaidIsForWhoWasThere(t *testing.T) {
	r := newReading(t)
	roomID := r.create()
	member := func(user, content string) {
		t.Helper()
		_, err := r.Rooms.Join(t.Context(), roomID, room.Move{Sender: id.UserID("@" + user + ":a.test"), Content: canonjson.Value(content)})
		if err != nil {
			t.Fatal(err)
		}
	}
	message := func(user, body, relType string, to id.EventID) id.EventID {
		t.Helper()
		content := fmt.Sprintf(`{"body":%q}`, body)
		if relType != "" {
			content = fmt.Sprintf(`{"body":%q,"m.new_content":{"body":%q},"m.relates_to":{"event_id":%q,"rel_type":%q}}`, body, body, to, relType)
		}
		return r.send(roomID, room.Draft{Type: "m.room.message", Sender: id.UserID("@" + user + ":a.test"), Content: canonjson.Value(content)})
	}
	empty := ""
	member("carol", `{"displayname":"SECRET name"}`)
	r.send(roomID, room.Draft{Type: "m.room.topic", StateKey: &empty, Sender: userAlice, Content: canonjson.Value(`{"topic":"TOPIC of alice"}`)})
	secret := message("carol", "SECRET message", "", "")
	message("carol", "SECRET edit", "m.replace", secret)
	root := message("alice", "root", "", "")
	message("carol", "SECRET in a thread", "m.thread", root)
	member("carol", `{"displayname":"SECRET other name"}`)
	if _, err := r.Rooms.Leave(t.Context(), roomID, room.Move{Sender: "@carol:a.test"}); err != nil {
		t.Fatal(err)
	}
	member("bob", `{}`)

	base := "/_matrix/client/v3/rooms/" + url.PathEscape(string(roomID))
	relations := strings.Replace(base, "v3", "v1", 1)
	paths := []string{
		base + "/messages?dir=b&limit=100", base + "/context/" + url.PathEscape(string(root)) + "?limit=100", base + "/event/" + url.PathEscape(string(secret)),
		base + "/event/" + url.PathEscape(string(root)), relations + "/relations/" + url.PathEscape(string(root)), relations + "/threads",
		"/_matrix/client/v3/sync?filter=" + url.QueryEscape(`{"room":{"timeline":{"limit":8}}}`), "/_matrix/client/v3/sync",
		base + "/state", base + "/members", base + "/state/m.room.member/@carol:a.test?format=event",
	}
	count := func(user, path string) int { return strings.Count(string(r.ask(user, path)), "SECRET") }
	for _, path := range paths {
		if count("bob", path) == 0 {
			t.Errorf("%s tells nothing in the first place", path)
		}
	}
	before := make(map[string]int)
	for _, path := range paths {
		before[path] = count("alice", path)
	}
	r.erased = map[id.UserID]bool{"@carol:a.test": true, userAlice: true}
	for _, path := range paths {
		if got := count("bob", path); got != 0 {
			t.Errorf("%s: who came later gets to see %d secrets", path, got)
		}
		if got := count("alice", path); got != before[path] {
			t.Errorf("%s: who was there gets to see %d secrets, want %d", path, got, before[path])
		}
	}
	for _, path := range []string{base + "/state", base + "/messages?dir=b&limit=100", "/_matrix/client/v3/sync"} {
		if !strings.Contains(string(r.ask("bob", path)), "TOPIC") {
			t.Errorf("%s does not say what the room is any more", path)
		}
	}
}
