package storetest

import (
	"errors"
	"sync"

	"parley/internal/store"
)

// Faults are those of a database that a test goes on with. There are none before Begin.
type Faults struct {
	mu      sync.Mutex // guards what follows
	begun   bool
	at      store.Point
	updates int
}

// NewFaults returns the faults of a database, before that is used.
func NewFaults(db *store.DB) *Faults {
	f := new(Faults)
	db.FailAt(f.fault)
	return f
}

// Begin has the next update fail at a point, and each fifth behind it.
func (f *Faults) Begin(at store.Point) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun, f.at, f.updates = true, at, 0
}

// End ends that.
func (f *Faults) End() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = false
}

func (f *Faults) fault(p store.Point) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.begun || p != f.at {
		return nil
	}
	if f.updates++; f.updates%5 != 1 {
		return nil
	}
	return errors.New("the test wants it so")
}
