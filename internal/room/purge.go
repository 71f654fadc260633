package room

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"parley/internal/errand"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A Purge is the deletion of a room or of a part of its history. It is done in
// the background, in small steps; what the end of the server interrupts is gone
// on with at the next start.
type Purge struct {
	ID      string
	Room    id.RoomID
	Kind    PurgeKind
	Status  PurgeStatus
	Created time.Time
	Ended   time.Time // zero: not yet
	PurgeTask
}

// A PurgeKind says what is purged. The numbers are stored and never change.
type PurgeKind int64

const (
	PurgeRoom    PurgeKind = 1
	PurgeHistory PurgeKind = 2
)

// A PurgeStatus says how far a purge has come.
type PurgeStatus string

const (
	PurgeScheduled PurgeStatus = "scheduled" // it waits for others
	PurgeActive    PurgeStatus = "active"
	PurgeComplete  PurgeStatus = "complete"
	PurgeFailed    PurgeStatus = "failed"
)

// A PurgeTask is what is to be done, and how far it has come. It is stored as
// JSON.
type PurgeTask struct {
	// Deletion is what is to be done of a room, nil for a history.
	Deletion *Deletion `json:"deletion,omitempty"`
	// Before is the place before which the history is to go, and KeepLocal says
	// that what local users have sent stays in the database, though not in the
	// timeline.
	Before    int64 `json:"before,omitempty"`
	KeepLocal bool  `json:"keep_local,omitempty"`

	// Leaving are local users who are being made to leave, Members those who were, and
	// Stuck those who could not be. Aliases are those that led to the room, and NewRoom is the room that
	// its members were invited to, in which it was Said why.
	Leaving []Evictee      `json:"leaving,omitempty"`
	Members []id.UserID    `json:"members,omitempty"`
	Stuck   []id.UserID    `json:"stuck,omitempty"`
	Aliases []id.RoomAlias `json:"aliases,omitempty"`
	NewRoom id.RoomID      `json:"new_room,omitempty"`
	Said    bool           `json:"said,omitempty"`
	// Events and Nodes are how many rows of them were deleted.
	Events int64  `json:"events,omitempty"`
	Nodes  int64  `json:"nodes,omitempty"`
	Error  string `json:"error,omitempty"`
}

// PurgeHooks are what purges need of others. Each may be nil.
type PurgeHooks struct {
	// Closing takes a room out of the directory, and has the aliases that lead to
	// it lead to another room, or nowhere if that is empty. It returns the aliases,
	// and may be called again.
	Closing func(ctx context.Context, room, instead id.RoomID) ([]id.RoomAlias, error)
	// Deleted removes what others keep of a room. It may be called again.
	Deleted func(ctx context.Context, roomID id.RoomID, room Num) error
	// Profile returns what the member events of a user say beside the membership.
	Profile func(ctx context.Context, user id.UserID) (canonjson.Value, error)
	// Log gets what goes wrong. Nil: nobody does.
	Log *slog.Logger
}

// purges is the queue of purges of one node.
type purges struct {
	PurgeHooks
	grace time.Duration
	pause time.Duration // after a failure
	wake  chan struct{} // has room for one signal that there is something to do

	mu    sync.Mutex
	ended chan struct{} // is closed, and replaced, when a purge has ended
}

func newPurges(o Options) *purges {
	p := &purges{PurgeHooks: o.Purges, grace: o.Grace, pause: purgePause, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	if p.grace == 0 {
		p.grace = 10 * time.Second
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	return p
}

func (p *purges) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *purges) tellEnded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.ended)
	p.ended = make(chan struct{})
}

func (p *purges) whenEnded() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// schedule stores a purge and has it done. If one of the same kind is under way
// for the room, the refusal is a M_UNKNOWN.
func (g *Engine) schedule(ctx context.Context, roomID id.RoomID, kind PurgeKind, task PurgeTask) (string, error) {
	encoded, err := json.Marshal(task)
	if err != nil {
		return "", err
	}
	name := rand.Text()
	err = g.db.Update(ctx, func(tx *store.Tx) error {
		var under int64
		if err := tx.Row("SELECT count(*) FROM purges WHERE room_id = $1 AND ended = 0", roomID).Scan(&under); err != nil {
			return err
		}
		if under > 0 {
			return mxerr.New(mxerr.Unknown, "Something of room %s is being deleted already", roomID).WithStatus(400)
		}
		_, err := tx.Exec(`
			INSERT INTO purges (purge, room_id, kind, status, task, created, ended) VALUES ($1, $2, $3, $4, $5, $6, 0)`,
			name, roomID, kind, string(PurgeScheduled), encoded, time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("scheduling a purge of %s: %w", roomID, err)
	}
	g.purges.signal()
	return name, nil
}

const purgeColumns = "purge, room_id, kind, status, task, created, ended"

func scanPurge(scan func(...any) error) (p Purge, err error) {
	var status string
	var task []byte
	var created, ended int64
	if err := scan(&p.ID, &p.Room, &p.Kind, &status, &task, &created, &ended); err != nil {
		return p, err
	}
	p.Status, p.Created = PurgeStatus(status), time.UnixMilli(created)
	if ended != 0 {
		p.Ended = time.UnixMilli(ended)
	}
	return p, json.Unmarshal(task, &p.PurgeTask)
}

// selectPurges reads purges, in the order in which they were scheduled.
func (g *Engine) selectPurges(ctx context.Context, where string, args ...any) (list []Purge, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		list, err = store.Collect(tx.Query("SELECT "+purgeColumns+" FROM purges WHERE "+where+" ORDER BY created, purge", args...), scanPurge)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading purges: %w", err)
	}
	return list, nil
}

// PurgesOf returns the purges of a room that are to be done, or were done of
// late, the oldest first.
func (g *Engine) PurgesOf(ctx context.Context, roomID id.RoomID, kind PurgeKind) ([]Purge, error) {
	return g.selectPurges(ctx, "room_id = $1 AND kind = $2", roomID, kind)
}

// PurgeByID returns a purge, or a M_NOT_FOUND.
func (g *Engine) PurgeByID(ctx context.Context, name string, kind PurgeKind) (Purge, error) {
	list, err := g.selectPurges(ctx, "purge = $1 AND kind = $2", name, kind)
	if err != nil {
		return Purge{}, err
	}
	if len(list) == 0 {
		return Purge{}, mxerr.New(mxerr.NotFound, "There is no such task, or it ended long ago")
	}
	return list[0], nil
}

// WaitForPurge waits until a purge has ended, and returns it.
func (g *Engine) WaitForPurge(ctx context.Context, name string, kind PurgeKind) (Purge, error) {
	for {
		ended := g.purges.whenEnded()
		p, err := g.PurgeByID(ctx, name, kind)
		if err != nil || !p.Ended.IsZero() {
			return p, err
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return Purge{}, ctx.Err()
		}
	}
}

// purgeAge is how long ended purges can be asked for.
const purgeAge = 24 * time.Hour

// ForgetPurges removes purges that ended long ago.
func (g *Engine) ForgetPurges(ctx context.Context) error {
	err := g.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM purges WHERE ended > 0 AND ended < $1", time.Now().Add(-purgeAge).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting old purges: %w", err)
	}
	return nil
}

// How often a purge that fails is tried again, and after which time. That of a room of
// which something is deleted already is tried until it succeeds.
const (
	purgeAttempts = 4
	purgePause    = 30 * time.Second
)

// RunPurges does what is to be purged, one after the other, until the context
// ends.
func (g *Engine) RunPurges(ctx context.Context) {
	for {
		waiting, err := g.selectPurges(ctx, "ended = 0")
		if err != nil && ctx.Err() == nil {
			g.purges.Log.ErrorContext(ctx, "purges cannot be read", "err", err)
			errand.Pause(ctx, g.purges.pause)
			continue
		}
		for _, p := range waiting {
			g.runPurge(ctx, p)
		}
		if len(waiting) > 0 && ctx.Err() == nil {
			continue
		}
		select {
		case <-g.purges.wake:
		case <-ctx.Done():
			return
		}
	}
}

// runPurge does one purge. What goes wrong may be a matter of the moment.
func (g *Engine) runPurge(ctx context.Context, p Purge) {
	var err error
	for attempt := range purgeAttempts {
		if attempt > 0 && !errand.Pause(ctx, g.purges.pause) {
			return
		}
		p.Status, p.Error = PurgeActive, ""
		if err = g.savePurge(ctx, &p); err == nil {
			if p.Kind == PurgeRoom {
				err = g.deleteRoom(ctx, &p)
			} else {
				err = g.purgeHistory(ctx, &p)
			}
		}
		if ctx.Err() != nil {
			return // the next start goes on
		}
		if refusal := (*mxerr.Error)(nil); err == nil || errors.As(err, &refusal) {
			break
		}
	}
	if err != nil {
		g.purges.Log.ErrorContext(ctx, "something of a room could not be deleted", "room", p.Room, "err", err)
		if g.halfDeleted(ctx, &p) {
			errand.Pause(ctx, g.purges.pause)
			return // it has another turn after those that wait
		}
	}
	p.Status, p.Ended = PurgeComplete, time.Now()
	if err != nil {
		p.Status, p.Error = PurgeFailed, err.Error()
	}
	if err := g.savePurge(ctx, &p); err != nil && ctx.Err() == nil {
		g.purges.Log.ErrorContext(ctx, "the end of a purge could not be stored", "room", p.Room, "err", err)
		errand.Pause(ctx, g.purges.pause)
	}
	g.purges.tellEnded()
}

// halfDeleted reports whether a room is gone for everybody, and not all that is stored
// of it: nobody could ask again for the rest to be deleted.
func (g *Engine) halfDeleted(ctx context.Context, p *Purge) bool {
	if p.Kind != PurgeRoom {
		return false
	}
	_, left, err := g.numOf(ctx, p.Room)
	if refusal := (*mxerr.Error)(nil); err != nil {
		return !errors.As(err, &refusal) // it cannot be found out now
	}
	return left.deleted && left.busy
}

// savePurge stores how far a purge has come.
func (g *Engine) savePurge(ctx context.Context, p *Purge) error {
	if err := g.db.Update(ctx, p.put); err != nil {
		return fmt.Errorf("storing how far the purge of %s has come: %w", p.Room, err)
	}
	return nil
}

func (p *Purge) put(tx *store.Tx) error {
	task, err := json.Marshal(p.PurgeTask)
	if err != nil {
		return err
	}
	var ended int64
	if !p.Ended.IsZero() {
		ended = p.Ended.UnixMilli()
	}
	_, err = tx.Exec("UPDATE purges SET status = $2, task = $3, ended = $4 WHERE purge = $1", p.ID, string(p.Status), task, ended)
	return err
}

// The steps in which rows are deleted. While one runs, nobody else can write, at
// least with SQLite: so they are made as large as takes stepTime, and between them
// others have as much time as they took.
const (
	stepTime  = 15 * time.Millisecond
	firstStep = 100
	mostRows  = 2000
)

// inSteps calls step, which deals with up to so many rows in one transaction and
// says with how many it did, until it says none.
func inSteps(ctx context.Context, step func(limit int) (int, error)) error {
	limit := firstStep
	for {
		began := time.Now()
		n, err := step(limit)
		if err != nil || n == 0 {
			return err
		}
		took := time.Since(began)
		switch {
		case took > stepTime:
			limit = max(10, limit/2)
		case took < stepTime/2:
			limit = min(mostRows, limit*2)
		}
		if !errand.Pause(ctx, min(took, time.Second)) {
			return ctx.Err()
		}
	}
}
