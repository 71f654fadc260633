package fedsend

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"parley/internal/ephemeral"
	"parley/internal/receipt"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// news is what a server is to be told that it is not owed: of each thing only the
// last word, and nothing at all if it cannot be told now.
// https://spec.matrix.org/v1.19/server-server-api/#edus
type news struct {
	typing   map[typingKey]bool
	receipts map[receiptKey]receipt.Receipt
	presence map[id.UserID]ephemeral.Status
}

type typingKey struct {
	room id.RoomID
	user id.UserID
}

type receiptKey struct {
	room   id.RoomID
	user   id.UserID
	thread string
}

// Bounds of what a server is told.
const (
	// mostNews is how much of a kind waits for a server; what is more is dropped.
	mostNews = 2000
	mostEDUs = 100 // in a transaction
	// perEDU is how many receipts, or users, an EDU tells of.
	perEDU = 50
)

func (n *news) empty() bool { return len(n.typing)+len(n.receipts)+len(n.presence) == 0 }

// put adds to the news of a kind, which may not be there yet.
func put[K comparable, V any](m *map[K]V, key K, value V) {
	if _, known := (*m)[key]; !known && len(*m) >= mostNews {
		return
	}
	if *m == nil {
		*m = make(map[K]V)
	}
	(*m)[key] = value
}

// take returns up to so many EDUs for the next transaction, and what they tell is no
// news any more. Who types comes first, since it will be old soonest.
func (n *news) take(now time.Time, most int) (edus []canonjson.Value) {
	for _, key := range slices.SortedFunc(maps.Keys(n.typing), func(a, b typingKey) int {
		return cmp.Or(cmp.Compare(a.room, b.room), cmp.Compare(a.user, b.user))
	}) {
		if len(edus) == most {
			return edus
		}
		edus = append(edus, typingEDU(key, n.typing[key]))
		delete(n.typing, key)
	}
	for len(n.receipts) > 0 && len(edus) < most {
		edus = append(edus, n.takeReceipts())
	}
	for len(n.presence) > 0 && len(edus) < most {
		edus = append(edus, n.takePresence(now))
	}
	return edus
}

func edu(kind string, content canonjson.Value) canonjson.Value {
	return canonjson.Value("{}").With("content", content).With("edu_type", canonjson.Text(kind))
}

func typingEDU(key typingKey, typing bool) canonjson.Value {
	return edu("m.typing", canonjson.Value("{}").
		With("room_id", canonjson.Text(string(key.room))).
		With("typing", canonjson.Value(strconv.FormatBool(typing))).
		With("user_id", canonjson.Text(string(key.user))))
}

// takeReceipts makes an EDU of some of the receipts. A user has room in it for one
// receipt of each room.
func (n *news) takeReceipts() canonjson.Value {
	told := make(map[typingKey]bool)
	rooms := make(map[id.RoomID]canonjson.Value)
	for _, key := range slices.SortedFunc(maps.Keys(n.receipts), func(a, b receiptKey) int {
		return cmp.Or(cmp.Compare(a.room, b.room), cmp.Compare(a.user, b.user), cmp.Compare(a.thread, b.thread))
	}) {
		place := typingKey{key.room, key.user}
		if told[place] {
			continue
		}
		if len(told) == perEDU {
			break
		}
		told[place] = true
		users := rooms[key.room]
		if users == nil {
			users = canonjson.Value("{}")
		}
		rooms[key.room] = users.With(string(key.user), receiptOf(n.receipts[key]))
		delete(n.receipts, key)
	}
	content := canonjson.Value("{}")
	for roomID, users := range rooms {
		content = content.With(string(roomID), canonjson.Value("{}").With(receipt.TypeRead, users))
	}
	return edu("m.receipt", content)
}

func receiptOf(r receipt.Receipt) canonjson.Value {
	data := canonjson.Value("{}").With("ts", canonjson.Integer(r.TS))
	if r.Thread != "" {
		data = data.With("thread_id", canonjson.Text(r.Thread))
	}
	ids := canonjson.ArrayOf([]canonjson.Value{canonjson.Text(string(r.EventID))})
	return canonjson.Value("{}").With("data", data).With("event_ids", ids)
}

// takePresence makes an EDU of what some users are.
func (n *news) takePresence(now time.Time) canonjson.Value {
	var push []canonjson.Value
	for i, user := range slices.Sorted(maps.Keys(n.presence)) {
		if i == perEDU {
			break
		}
		push = append(push, presenceOf(user, n.presence[user], now))
		delete(n.presence, user)
	}
	return edu("m.presence", canonjson.Value("{}").With("push", canonjson.ArrayOf(push)))
}

func presenceOf(user id.UserID, s ephemeral.Status, now time.Time) canonjson.Value {
	state := s.State
	if state == ephemeral.Busy { // which is not in the specification
		state = ephemeral.Online
	}
	ago := int64(0)
	if !s.Active.IsZero() {
		ago = max(0, now.Sub(s.Active).Milliseconds())
	}
	v := canonjson.Value("{}")
	if state == ephemeral.Online {
		v = v.With("currently_active", canonjson.Value(strconv.FormatBool(s.Currently)))
	}
	v = v.With("last_active_ago", canonjson.Integer(ago)).With("presence", canonjson.Text(state.String()))
	if s.Message != "" {
		v = v.With("status_msg", canonjson.Text(s.Message))
	}
	return v.With("user_id", canonjson.Text(string(user)))
}

// gatherTime is how long what need not be told at once waits for more.
const gatherTime = time.Second

// tell has a server told something. If it cannot be reached at present, it is
// not. The caller holds mu.
func (s *Sender) tell(server id.ServerName, atOnce bool, add func(*news)) {
	if time.Now().Before(s.Remote.Health().Retry(server)) {
		return
	}
	d := s.servers[server]
	if d == nil {
		d = new(destination)
		s.servers[server] = d
	}
	if d.waiting != nil {
		return
	}
	add(&d.news)
	switch {
	case atOnce:
		d.due = true
		s.wake(server)
	case d.gather == nil:
		d.gather = time.AfterFunc(gatherTime, func() { s.gathered(server, d) })
	}
}

// gathered has a server told what was gathered for it, unless it has been told.
func (s *Sender) gathered(server id.ServerName, d *destination) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.gather = nil
	if d.news.empty() {
		s.dismiss(server, d)
		return
	}
	d.due = true
	s.wake(server)
}

// dismiss forgets a server that there is nothing to say to. The caller holds mu.
func (s *Sender) dismiss(server id.ServerName, d *destination) {
	if s.servers[server] == d && d.clear() && !d.stored && !d.running && d.news.empty() && d.gather == nil && d.waiting == nil {
		delete(s.servers, server)
	}
}
