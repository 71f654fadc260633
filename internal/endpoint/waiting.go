package endpoint

import (
	"sync"

	"parley/matrix/id"
)

// waiting counts the requests that wait, by user. Each holds a connection and
// what its handler has in memory for minutes, and costs who makes it nothing.
type waiting struct {
	most int // for a user, 0: any number

	mu     sync.Mutex // guards what follows
	byUser map[id.UserID]int
}

// begin counts a request in, unless there are too many.
func (w *waiting) begin(user id.UserID) bool {
	if w.most == 0 {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byUser[user] >= w.most {
		return false
	}
	if w.byUser == nil {
		w.byUser = make(map[id.UserID]int)
	}
	w.byUser[user]++
	return true
}

// end counts a request out.
func (w *waiting) end(user id.UserID) {
	if w.most == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byUser[user]--; w.byUser[user] == 0 {
		delete(w.byUser, user)
	}
}
