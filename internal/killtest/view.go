package killtest

import (
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"parley/matrix/canonjson"
)

// syncFilter asks for as much of a timeline as there is to have at once.
const syncFilter = `{"room":{"timeline":{"limit":100}}}`

// A view is what a client knows by /sync. It keeps its token over kills.
type view struct {
	*account
	// stays says that the user never leaves a room, so that each event of a
	// room comes once and in order.
	stays bool

	mu    sync.Mutex // guards what follows
	since string
	rooms map[string]*roomView
	// section is where each room was last: join, invite, leave.
	section map[string]string
	data    map[string]string // account data by type
	// events are all that were ever seen, with their rooms.
	events map[string]string
}

// roomView is a room that a client is in.
type roomView struct {
	timeline []string          // event IDs
	known    map[string]bool   // the same
	state    map[string]string // event IDs by type and state key
	members  map[string]canonjson.Value
	data     map[string]string
	receipts map[string]string // event IDs by user and type
	unread   string
}

func newView(a *account, stays bool) *view {
	return &view{
		account: a, stays: stays, rooms: make(map[string]*roomView), section: make(map[string]string),
		data: make(map[string]string), events: make(map[string]string),
	}
}

func newRoomView() *roomView {
	return &roomView{
		known: make(map[string]bool), state: make(map[string]string), members: make(map[string]canonjson.Value),
		data: make(map[string]string), receipts: make(map[string]string), unread: "0 0",
	}
}

// sync asks for what is new, and reports whether anything was. What came with a
// half answer does not count: the client goes on from its token.
func (v *view) sync(c *client, timeout int) (news bool, err error) {
	query := url.Values{"timeout": {strconv.Itoa(timeout)}, "filter": {syncFilter}}
	if v.since != "" {
		query.Set("since", v.since)
	}
	answer, err := c.must(request{"GET", "/sync?" + query.Encode(), v.token, nil})
	if err != nil {
		return false, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.apply(c, answer); err != nil {
		return false, fmt.Errorf("%s, since %s: %w", v.name, v.since, err)
	}
	next := text(answer, "next_batch")
	if position(next) < position(v.since) {
		return false, fmt.Errorf("%s: the token went back from %s to %s", v.name, v.since, next)
	}
	news = answer.Get("rooms") != nil || answer.Get("account_data") != nil
	v.since = next
	return news, nil
}

// position returns the position of the journal in a token of /sync.
func position(token string) int64 {
	parts := strings.Split(token, "_")
	if len(parts) < 3 {
		return 0
	}
	n, _ := strconv.ParseInt(parts[2], 10, 64)
	return n
}

func (v *view) apply(c *client, answer canonjson.Value) error {
	putData(v.data, answer.Get("account_data"))
	for section, rooms := range answer.Get("rooms").Members() {
		for room, news := range rooms.Members() {
			roomID := room.String()
			v.section[roomID] = section.String()
			for e := range news.Get("timeline").Get("events").Elements() {
				v.events[text(e, "event_id")] = roomID
			}
			if section.Is("leave") || !v.stays {
				continue
			}
			r := v.rooms[roomID]
			if r == nil {
				r = newRoomView()
				v.rooms[roomID] = r
			}
			if err := v.fill(c, r, roomID, news.Get("timeline")); err != nil {
				return err
			}
			if err := r.apply(news); err != nil {
				return fmt.Errorf("room %s: %w", roomID, err)
			}
		}
	}
	return nil
}

// fill gets what a limited timeline has left out, back to what is known. Of a new
// room nothing is.
func (v *view) fill(c *client, r *roomView, roomID string, timeline canonjson.Value) error {
	if !timeline.Get("limited").True() || len(r.timeline) == 0 {
		return nil
	}
	var missing []string
	for from := text(timeline, "prev_batch"); ; {
		path := at("rooms", roomID, "messages") + "?dir=b&limit=100&from=" + url.QueryEscape(from)
		answer, err := c.must(request{"GET", path, v.token, nil})
		if err != nil {
			return err
		}
		for e := range answer.Get("chunk").Elements() {
			eventID := text(e, "event_id")
			if r.known[eventID] {
				for i := len(missing) - 1; i >= 0; i-- {
					if err := r.add(missing[i]); err != nil {
						return err
					}
				}
				return nil
			}
			missing = append(missing, eventID)
			v.events[eventID] = roomID
		}
		if from = text(answer, "end"); from == "" {
			return fmt.Errorf("the history of %s ends before what is known", roomID)
		}
	}
}

func (r *roomView) add(eventID string) error {
	if r.known[eventID] {
		return fmt.Errorf("event %s has come twice", eventID)
	}
	r.known[eventID] = true
	r.timeline = append(r.timeline, eventID)
	return nil
}

func (r *roomView) apply(news canonjson.Value) error {
	for e := range news.Get("state").Get("events").Elements() {
		r.put(e)
	}
	for e := range news.Get("timeline").Get("events").Elements() {
		if err := r.add(text(e, "event_id")); err != nil {
			return err
		}
		r.put(e)
	}
	putData(r.data, news.Get("account_data"))
	for e := range news.Get("ephemeral").Get("events").Elements() {
		if e.Get("type").Is("m.receipt") {
			r.putReceipts(e.Get("content"))
		}
	}
	if unread := news.Get("unread_notifications"); unread != nil {
		n, _ := unread.Get("notification_count").Int()
		h, _ := unread.Get("highlight_count").Int()
		r.unread = fmt.Sprint(n, h)
	}
	return nil
}

func (r *roomView) put(e canonjson.Value) {
	key := e.Get("state_key")
	if key == nil {
		return
	}
	r.state[text(e, "type")+" "+key.String()] = text(e, "event_id")
	if e.Get("type").Is("m.room.member") {
		r.members[key.String()] = e.Get("content")
	}
}

func (r *roomView) putReceipts(content canonjson.Value) {
	for eventID, types := range content.Members() {
		for receiptType, users := range types.Members() {
			for user := range users.Members() {
				r.receipts[user.String()+" "+receiptType.String()] = eventID.String()
			}
		}
	}
}

func putData(data map[string]string, events canonjson.Value) {
	for e := range events.Get("events").Elements() {
		data[text(e, "type")] = string(e.Get("content"))
	}
}

// last returns the last event of a room that the client knows.
func (v *view) last(roomID string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	timeline := v.rooms[roomID].timeline
	return timeline[len(timeline)-1]
}

// equal compares what was put together with what an initial sync says.
func (v *view) equal(fresh *view) error {
	if err := same("account data", v.data, fresh.data); err != nil {
		return err
	}
	for roomID, r := range fresh.rooms {
		mine := v.rooms[roomID]
		if mine == nil {
			return fmt.Errorf("room %s is not known", roomID)
		}
		for what, pair := range map[string][2]map[string]string{
			"state": {mine.state, r.state}, "account data": {mine.data, r.data}, "receipts": {mine.receipts, r.receipts},
		} {
			if err := same(what+" of "+roomID, pair[0], pair[1]); err != nil {
				return err
			}
		}
		if mine.unread != r.unread {
			return fmt.Errorf("room %s has %s unread, an initial sync says %s", roomID, mine.unread, r.unread)
		}
	}
	return nil
}

func same(what string, got, want map[string]string) error {
	if maps.Equal(got, want) {
		return nil
	}
	for k, v := range want {
		if got[k] != v {
			return fmt.Errorf("%s: %q is %q, an initial sync says %q", what, k, got[k], v)
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			return fmt.Errorf("%s: %q is %q, an initial sync has none", what, k, v)
		}
	}
	return nil
}
