package report

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// maxReason is how many bytes a reason may have: some pages of text.
const maxReason = 16 << 10

// A Kind says what is reported. The numbers are stored and never change.
type Kind int64

const (
	Event Kind = 1
	Room  Kind = 2
	User  Kind = 3
)

// A Report is what somebody reported.
type Report struct {
	// ID is set when it is filed. Later reports have larger ones.
	ID       int64
	Kind     Kind
	Reporter id.UserID
	Room     id.RoomID  // of an event or a room
	Event    id.EventID // of an event
	User     id.UserID  // the user that is reported, or the sender of the event
	Reason   string
	Received time.Time
}

// Store is the reports in a database. It is safe for concurrent use.
type Store struct{ db *store.DB }

// New returns the reports in a database.
func New(db *store.DB) *Store { return &Store{db} }

// File stores a report, and refuses one with a reason that is too long with
// M_TOO_LARGE.
func (s *Store) File(ctx context.Context, r Report) error {
	if len(r.Reason) > maxReason {
		return mxerr.New(mxerr.TooLarge, "The reason has more than %d bytes", maxReason)
	}
	// A NUL says nothing, and not every database can keep one.
	reason := strings.ReplaceAll(r.Reason, "\x00", "")
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO reports (kind, reporter, room_id, event_id, user_id, reason, received)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			r.Kind, r.Reporter, string(r.Room), string(r.Event), string(r.User), reason, time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("storing a report of %s: %w", r.Reporter, err)
	}
	return nil
}

// A Query says which reports are wanted.
type Query struct {
	Kind Kind
	// Reporter and Room are parts of the IDs of who reports and of the room; User
	// is who is reported, or the sender of what is, as a whole. Empty: any.
	Reporter, Room string
	User           string
	// Oldest says that the oldest come first, and not the newest.
	Oldest bool
	// Skip is how many of them are left out, and Limit how many come then.
	Skip, Limit int64
}

// where returns the condition and its arguments.
func (q Query) where() (condition string, args []any) {
	condition, args = "kind = $1", []any{q.Kind}
	add := func(format, value string) {
		if value != "" {
			args = append(args, value)
			condition += " AND " + strings.ReplaceAll(format, "?", "$"+strconv.Itoa(len(args)))
		}
	}
	// No pattern, so that nothing in it has to be escaped.
	add("length(replace(reporter, ?, '')) < length(reporter)", q.Reporter)
	add("length(replace(room_id, ?, '')) < length(room_id)", q.Room)
	add("user_id = ?", q.User)
	return condition, args
}

const columns = "report, kind, reporter, room_id, event_id, user_id, reason, received"

// scan reads columns.
func scan(from func(...any) error) (Report, error) {
	var r Report
	var reporter, room, event, user string
	var received int64
	err := from(&r.ID, &r.Kind, &reporter, &room, &event, &user, &r.Reason, &received)
	r.Reporter, r.Room, r.Event, r.User = id.UserID(reporter), id.RoomID(room), id.EventID(event), id.UserID(user)
	r.Received = time.UnixMilli(received)
	return r, err
}

// List returns a page of reports, never nil, and how many there are on all pages.
func (s *Store) List(ctx context.Context, q Query) (list []Report, total int64, err error) {
	where, args := q.where()
	order := "DESC"
	if q.Oldest {
		order = "ASC"
	}
	n := len(args)
	page := fmt.Sprintf("SELECT "+columns+" FROM reports WHERE %s ORDER BY report %s LIMIT $%d OFFSET $%d", where, order, n+1, n+2)
	err = s.db.View(ctx, func(tx *store.Tx) error {
		if err := tx.Row("SELECT count(*) FROM reports WHERE "+where, args...).Scan(&total); err != nil {
			return err
		}
		list, err = store.Collect(tx.Query(page, append(args, q.Limit, q.Skip)...), scan)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("listing reports: %w", err)
	}
	return list, total, nil
}

// Get returns a report, or a M_NOT_FOUND.
func (s *Store) Get(ctx context.Context, kind Kind, number int64) (r Report, err error) {
	err = s.db.View(ctx, func(tx *store.Tx) error {
		r, err = scan(tx.Row("SELECT "+columns+" FROM reports WHERE report = $1 AND kind = $2", number, kind).Scan)
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return Report{}, notFound(number)
	}
	if err != nil {
		return Report{}, fmt.Errorf("reading report %d: %w", number, err)
	}
	return r, nil
}

// Delete removes a report, or refuses with M_NOT_FOUND.
func (s *Store) Delete(ctx context.Context, kind Kind, number int64) error {
	var gone int64
	err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
		gone, err = tx.Exec("DELETE FROM reports WHERE report = $1 AND kind = $2", number, kind)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting report %d: %w", number, err)
	}
	if gone == 0 {
		return notFound(number)
	}
	return nil
}

func notFound(number int64) error { return mxerr.New(mxerr.NotFound, "There is no report %d", number) }
