package subscription

import (
	"parley/internal/journal"
	"parley/matrix/id"
)

// A Listing is some changes in the form in which clients get them, on whichever way.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4308
type Listing struct {
	Subscribed   map[id.RoomID]map[id.EventID]Subscribed   `json:"subscribed,omitempty"`
	Unsubscribed map[id.RoomID]map[id.EventID]Unsubscribed `json:"unsubscribed,omitempty"`
}

// Subscribed is a thread that a user wants to hear of.
type Subscribed struct {
	Automatic bool             `json:"automatic"`
	BumpStamp journal.Position `json:"bump_stamp"`
}

// Unsubscribed is a thread that a user does not want to hear of any more.
type Unsubscribed struct {
	BumpStamp journal.Position `json:"bump_stamp"`
}

// List makes a listing of changes.
func List(changes []Change) (l Listing) {
	for _, c := range changes {
		if c.Subscribed {
			add(&l.Subscribed, c.Thread, Subscribed{c.Automatic, c.Pos})
		} else {
			add(&l.Unsubscribed, c.Thread, Unsubscribed{c.Pos})
		}
	}
	return l
}

// add adds a thread to a map of rooms.
func add[T any](rooms *map[id.RoomID]map[id.EventID]T, t Thread, one T) {
	if *rooms == nil {
		*rooms = make(map[id.RoomID]map[id.EventID]T)
	}
	if (*rooms)[t.Room] == nil {
		(*rooms)[t.Room] = make(map[id.EventID]T)
	}
	(*rooms)[t.Room][t.Root] = one
}
