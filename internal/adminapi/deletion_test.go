package adminapi_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"testing"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

// What becomes of the rows of a room when it is deleted, by table: every table
// that has to do with single rooms is here.
var rowsOfRooms = map[string]struct {
	left string // why they stay; empty: they go
	rare bool   // a scene over the API has none of them
}{
	"account_data":         {},
	"aliases":              {},
	"backup_keys":          {left: "they are the users', who may have the messages"},
	"blocked_rooms":        {left: "it cannot be entered again"},
	"delayed_events":       {left: "whoever is to send them finds that the room is gone"},
	"early_redactions":     {rare: true},
	"sticky":               {rare: true},
	"events":               {},
	"heirs":                {rare: true},
	"gaps":                 {rare: true},
	"hidden":               {rare: true},
	"highlights":           {},
	"memberships":          {left: "clients that were away are told that their users have left"},
	"network_rooms":        {rare: true},
	"notice_rooms":         {},
	"outside":              {rare: true},
	"owed_invites":         {rare: true},
	"owed_apart":           {left: "whoever is to send it finds that the room is gone"},
	"partial_joins":        {rare: true},
	"purges":               {left: "how it went can be asked for until the next day"},
	"receipts":             {},
	"relations":            {},
	"reports":              {left: "they are the administrators'"},
	"room_remains":         {left: "it says that the room is gone"},
	"room_servers":         {},
	"rooms":                {left: "its number is not given out again"},
	"search_docs":          {},
	"sights":               {left: "clients that were away are told that their users have left"},
	"spoken":               {},
	"staged_events":        {left: "whoever takes them up finds that the room is gone"},
	"state_nodes":          {},
	"summaries":            {},
	"threads":              {},
	"thread_subscriptions": {rare: true},
	"transactions":         {},
	"unfinished_rooms":     {rare: true},
}

// tablesOfRooms returns the tables that have a column for rooms, each with that.
func tablesOfRooms(t *testing.T, db *store.DB) map[string]string {
	t.Helper()
	tables := make(map[string]string)
	// None of them has both, so no matter which is found last.
	forRoom := regexp.MustCompile(`(?m)^\s*(room|room_id)\s`)
	err := db.View(t.Context(), func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT name, sql FROM sqlite_master WHERE type = 'table'") {
			if err != nil {
				return err
			}
			var name, statement string
			if err := row.Scan(&name, &statement); err != nil {
				return err
			}
			if found := forRoom.FindStringSubmatch(statement); found != nil {
				tables[name] = found[1]
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// rowsOf counts the rows of a room in each table.
func rowsOf(t *testing.T, db *store.DB, roomID string) map[string]int64 {
	t.Helper()
	rows := make(map[string]int64)
	for table, column := range tablesOfRooms(t, db) {
		query := "SELECT count(*) FROM " + table + " WHERE room = (SELECT room FROM rooms WHERE room_id = $1)"
		if column == "room_id" || table == "rooms" {
			query = "SELECT count(*) FROM " + table + " WHERE room_id = $1"
		}
		var count int64
		if err := db.View(t.Context(), func(tx *store.Tx) error { return tx.Row(query, roomID).Scan(&count) }); err != nil {
			t.Fatalf("counting rows of %s: %v", table, err)
		}
		rows[table] = count
	}
	return rows
}

// fill does in a room, in which Alice and Bob are, what leaves a row in each table.
func (s *scene) fill(owner *hstest.User, roomID string) {
	s.Helper()
	room := c + "rooms/" + roomID
	send := func(u *hstest.User, content map[string]any) string {
		s.txns++
		content["msgtype"], content["body"] = "m.text", "hello"
		return text(u.Must("PUT", fmt.Sprintf(room+"/send/m.room.message/%d", s.txns), content), "event_id")
	}
	root := send(owner, map[string]any{})
	send(owner, map[string]any{"m.relates_to": map[string]string{"rel_type": "m.thread", "event_id": root}})
	last := send(owner, map[string]any{"m.mentions": map[string]any{"user_ids": []any{s.bob.ID}}})
	s.bob.Must("POST", room+"/receipt/m.read/"+url.PathEscape(last), `{}`)
	s.bob.Must("PUT", c+"user/"+string(s.bob.ID)+"/rooms/"+roomID+"/tags/m.favourite", `{}`)
	s.bob.Must("POST", room+"/report", `{"reason":"bad"}`)
	s.bob.Must("PUT", c+"directory/room/"+url.PathEscape("#room:a.test"), map[string]string{"room_id": roomID})
	// Who searches has the index take in what was said.
	s.bob.Must("POST", c+"search", `{"search_categories":{"room_events":{"search_term":"hello"}}}`)
}

func TestNothingIsLeftOfADeletedRoomBesideWhatIsMeantToBe(t *testing.T) {
	for _, force := range []bool{false, true} {
		play(t, func(s *scene) {
			// A room for notices is one that has a row everywhere.
			s.admin.Must("POST", a+"v1/send_server_notice", map[string]any{"user_id": s.alice.ID, "content": map[string]string{"body": "hello"}})
			var roomID string
			for name := range s.alice.Must("GET", c+"sync", nil).Get("rooms").Get("invite").Members() {
				roomID, _ = name.Text()
			}
			s.alice.Must("POST", c+"join/"+roomID, `{}`)
			s.admin.Must("POST", a+"v1/rooms/"+roomID+"/make_room_admin", map[string]any{"user_id": s.alice.ID})
			levels := s.alice.Must("GET", c+"rooms/"+roomID+"/state/m.room.power_levels", nil)
			s.alice.Must("PUT", c+"rooms/"+roomID+"/state/m.room.power_levels", levels.With("users_default", canonjson.Value("0")))
			s.alice.Must("POST", c+"rooms/"+roomID+"/invite", map[string]any{"user_id": s.bob.ID})
			s.bob.Must("POST", c+"join/"+roomID, `{}`)
			s.fill(s.alice, roomID)
			db := storetest.Open(s.T, filepath.Join(s.Config.DataDir, "parley.db"))
			before := rowsOf(s.T, db, roomID)
			s.admin.Must("DELETE", a+"v1/rooms/"+roomID, map[string]any{"block": true, "force_purge": force})
			after := rowsOf(s.T, db, roomID)
			for table, count := range after {
				what, known := rowsOfRooms[table]
				switch {
				case !known:
					s.Errorf("what becomes of the rows of %s when a room is deleted? Say it in rowsOfRooms", table)
				case what.left == "" && !what.rare && before[table] == 0:
					s.Errorf("there is nothing of the room in %s that could go", table)
				case what.left == "" && count > 0:
					s.Errorf("%d of %d rows are left in %s", count, before[table], table)
				}
			}
		}, func(c *config.Config) { c.Notices.Localpart = "notices" })
	}
}
