package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// A word is what the server says of a room when it is asked without an SDK.
type word struct {
	room     id.RoomID
	state    map[string]said // by type and state key
	members  map[string]said // by user
	messages []id.EventID    // all that may be seen, oldest first
	part     string          // of a sync from the beginning that has the room, empty if none has
	sync     syncWord
}

type said struct {
	Type     string          `json:"type"`
	StateKey *string         `json:"state_key"`
	EventID  id.EventID      `json:"event_id"`
	Content  json.RawMessage `json:"content"`
}

type syncWord struct {
	Summary struct {
		Joined  *int `json:"m.joined_member_count"`
		Invited *int `json:"m.invited_member_count"`
	} `json:"summary"`
	State    struct{ Events []said } `json:"state"`
	Timeline struct {
		Events    []said
		PrevBatch string `json:"prev_batch"`
	} `json:"timeline"`
	Ephemeral   struct{ Events []said } `json:"ephemeral"`
	AccountData struct{ Events []said } `json:"account_data"`
	Unread      struct {
		Highlights    int `json:"highlight_count"`
		Notifications int `json:"notification_count"`
	} `json:"unread_notifications"`
}

// get is a plain GET with the device's token. Any answer but 200 ends the test.
func (d *device) get(into any, path string, query url.Values) {
	d.t.Helper()
	status, body := d.asks(path, query)
	if status != http.StatusOK {
		d.t.Fatalf("%s: GET %s: %d %s", d.who, path, status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		d.t.Fatalf("%s: GET %s: %v in %s", d.who, path, err, body)
	}
}

func (d *device) asks(path string, query url.Values) (status int, body []byte) {
	d.t.Helper()
	r, err := http.NewRequest(http.MethodGet, d.HomeserverURL.String()+"/_matrix/client/v3/"+path+"?"+query.Encode(), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.AccessToken)
	answer, err := d.Client.Client.Do(r)
	if err != nil {
		d.t.Fatalf("%s: GET %s: %v", d.who, path, err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		d.t.Fatalf("%s: GET %s: %v", d.who, path, err)
	}
	return answer.StatusCode, body
}

// word asks for everything.
func (d *device) word(r id.RoomID) word {
	d.t.Helper()
	w := word{room: r}
	var state []said
	d.get(&state, in(r, "state"), nil)
	w.state = byKey(d.t, state)
	var members struct{ Chunk []said }
	d.get(&members, in(r, "members"), nil)
	w.members = byKey(d.t, members.Chunk)
	w.messages = d.allMessages(r)
	w.part, w.sync = d.plainSync(r)
	return w
}

func in(r id.RoomID, path string) string {
	return "rooms/" + url.PathEscape(r.String()) + "/" + path
}

func byKey(t *testing.T, events []said) map[string]said {
	t.Helper()
	all := map[string]said{}
	for _, e := range events {
		if e.StateKey == nil {
			t.Fatalf("a state event without a state key: %+v", e)
		}
		k := key(e.Type, *e.StateKey)
		if twice, ok := all[k]; ok {
			t.Fatalf("%s is twice in the state: as %s and as %s", k, twice.EventID, e.EventID)
		}
		all[k] = e
	}
	return all
}

func key(eventType, stateKey string) string { return eventType + " " + stateKey }

// allMessages pages back through /messages from its end to its beginning.
func (d *device) allMessages(r id.RoomID) []id.EventID {
	d.t.Helper()
	var all []id.EventID
	query := url.Values{"dir": {"b"}, "limit": {"7"}}
	for page := 0; ; page++ {
		if page > 1000 {
			d.t.Fatalf("%s: /messages of %s does not come to an end", d.who, r)
		}
		var answer struct {
			Chunk []said
			End   string
		}
		d.get(&answer, in(r, "messages"), query)
		for _, e := range answer.Chunk {
			all = append(all, e.EventID)
		}
		if answer.End == "" {
			slices.Reverse(all)
			return all
		}
		query.Set("from", answer.End)
	}
}

// plainSync is one sync from the beginning, with the rooms that were left.
func (d *device) plainSync(r id.RoomID) (part string, w syncWord) {
	d.t.Helper()
	var answer struct {
		Rooms map[string]map[id.RoomID]json.RawMessage
	}
	d.get(&answer, "sync", url.Values{"timeout": {"0"}, "filter": {fmt.Sprintf(
		`{"room":{"include_leave":true,"timeline":{"limit":20},"state":{"lazy_load_members":%t}}}`, d.lazy)}})
	for name, rooms := range answer.Rooms {
		text, ok := rooms[r]
		if !ok {
			continue
		}
		if part != "" {
			d.t.Fatalf("%s: a sync has %s both as %s and as %s", d.who, r, part, name)
		}
		part = name
		if err := json.Unmarshal(text, &w); err != nil {
			d.t.Fatalf("%s: a sync has of %s: %v in %s", d.who, r, err, text)
		}
	}
	return part, w
}

// receipts are those of the receipt events, by reader.
func (w *syncWord) receipts() (map[reader]id.EventID, error) {
	all := map[reader]id.EventID{}
	for _, e := range w.Ephemeral.Events {
		if e.Type != event.EphemeralEventReceipt.Type {
			continue
		}
		var content event.ReceiptEventContent
		if err := json.Unmarshal(e.Content, &content); err != nil {
			return nil, fmt.Errorf("receipts %s: %w", e.Content, err)
		}
		r := view{receipts: all}
		r.takesInReceipts(content)
	}
	return all, nil
}
