package appservice

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"parley/internal/ephemeral"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// mostNews is how many rooms in which somebody types, and how many users who are online
// or not, wait to be told. What is more is dropped.
const mostNews = 2000

// news is what a service is told once, if it can be told soon: where who types has
// changed, and who is online. It is safe for concurrent use.
type news struct {
	mu       sync.Mutex
	typing   map[journal.Scope]bool
	presence map[id.UserID]present
	wake     func() // ends a wait for entries of the journal; nil: nobody waits
}

// present is what a user is, and in which rooms that may be known.
type present struct {
	rooms  []journal.Scope
	status ephemeral.Status
}

// keep puts something into a map, unless that is full. The caller holds mu.
func keep[K comparable, V any](m *map[K]V, key K, value V) {
	if _, known := (*m)[key]; !known && len(*m) >= mostNews {
		return
	}
	if *m == nil {
		*m = make(map[K]V)
	}
	(*m)[key] = value
}

func (n *news) typed(scope journal.Scope) {
	n.mu.Lock()
	defer n.mu.Unlock()
	keep(&n.typing, scope, true)
	n.stir()
}

func (n *news) came(user id.UserID, p present) {
	n.mu.Lock()
	defer n.mu.Unlock()
	keep(&n.presence, user, p)
	n.stir()
}

// stir wakes who waits. The caller holds mu.
func (n *news) stir() {
	if n.wake != nil {
		n.wake()
		n.wake = nil
	}
}

// await has wake called when there is news. It reports whether there is any already.
func (n *news) await(wake func()) (there bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.typing)+len(n.presence) > 0 {
		return true
	}
	n.wake = wake
	return false
}

func (n *news) take() (typing map[journal.Scope]bool, presence map[id.UserID]present) {
	n.mu.Lock()
	defer n.mu.Unlock()
	typing, presence = n.typing, n.presence
	n.typing, n.presence = nil, nil
	return typing, presence
}

// Typing takes in that who types in a room has changed. It does not wait.
func (s *Services) Typing(scope journal.Scope) {
	for _, w := range s.staff() {
		if w.service.Ephemeral {
			w.news.typed(scope)
		}
	}
}

// Presence takes in what a user is from now on, and in which rooms. It does not wait.
func (s *Services) Presence(user id.UserID, rooms []journal.Scope, status ephemeral.Status) {
	for _, w := range s.staff() {
		if w.service.Ephemeral {
			w.news.came(user, present{rooms, status})
		}
	}
}

// addNews adds who types, and who is online, to a transaction.
func (w *worker) addNews(ctx context.Context, d *draft) error {
	typing, presence := w.news.take()
	for _, scope := range slices.Sorted(maps.Keys(typing)) {
		num := room.Num(scope.Number())
		in, err := w.interestAt(ctx, num, d.upTo)
		if err != nil {
			return err
		}
		if !in.is() {
			continue
		}
		roomID, err := w.Rooms.RoomID(ctx, num)
		if err != nil {
			continue // it is gone
		}
		content := canonjson.Value("{}").With("user_ids", users(w.Board.Typing(scope)))
		d.ephemeral = append(d.ephemeral, ofRoom("m.typing", roomID, content))
	}
	for _, user := range slices.Sorted(maps.Keys(presence)) {
		concerns, err := w.knows(ctx, user, presence[user].rooms, d.upTo)
		if err != nil {
			return err
		}
		if concerns {
			d.ephemeral = append(d.ephemeral, presenceEvent(user, presence[user].status, time.Now()))
		}
	}
	return nil
}

// knows reports whether a service gets to know who somebody is: one of its own, or who
// is in a room that it is told of.
func (w *worker) knows(ctx context.Context, user id.UserID, rooms []journal.Scope, at journal.Position) (bool, error) {
	if w.service.Owns(user) {
		return true, nil
	}
	for _, scope := range rooms {
		if in, err := w.interestAt(ctx, room.Num(scope.Number()), at); err != nil || in.is() {
			return err == nil, err
		}
	}
	return false, nil
}

// presenceEvent is https://spec.matrix.org/v1.19/client-server-api/#mpresence
func presenceEvent(user id.UserID, s ephemeral.Status, now time.Time) canonjson.Value {
	content := canonjson.Value("{}").With("presence", canonjson.Text(s.State.String()))
	if s.State == ephemeral.Online {
		content = content.With("currently_active", canonjson.Value(strconv.FormatBool(s.Currently)))
	}
	if !s.Active.IsZero() {
		content = content.With("last_active_ago", canonjson.Integer(max(0, now.Sub(s.Active).Milliseconds())))
	}
	if s.Message != "" {
		content = content.With("status_msg", canonjson.Text(s.Message))
	}
	return canonjson.Value("{}").With("content", content).With("sender", canonjson.Text(string(user))).With("type", canonjson.Text("m.presence"))
}
