package accountdata

import (
	"errors"
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
)

// RefPushRules is the reference of journal entries for push rules. That of other
// account data is 0.
const RefPushRules = 1

// A place is where a piece of account data is kept. It is the key of what a group
// of the journal writes there.
type place struct {
	user     id.UserID
	room     id.RoomID
	dataType string
}

func (p place) String() string {
	if p.room == "" {
		return fmt.Sprintf("account data %s of %s", p.dataType, p.user)
	}
	return fmt.Sprintf("account data %s of %s in %s", p.dataType, p.user, p.room)
}

// deleted is what is kept in the place of what was deleted, so that clients are told.
const deleted = "null"

func isDeleted(content []byte) bool { return string(content) == deleted }

func (p place) isPushRules() bool { return p.room == "" && p.dataType == PushRules }

// read returns what is kept there, and the position of its last change, which is 0
// if there is nothing. Of push rules these are the user's settings.
func (p place) read(row func(query string, args ...any) store.Row) (content []byte, pos journal.Position, err error) {
	if p.isPushRules() {
		err = row("SELECT settings, pos FROM push_rules WHERE user_id = $1", p.user).Scan(&content, &pos)
	} else {
		err = row("SELECT content, pos FROM account_data WHERE user_id = $1 AND room_id = $2 AND type = $3",
			p.user, string(p.room), p.dataType).Scan(&content, &pos)
	}
	if errors.Is(err, store.ErrNoRows) {
		return nil, 0, nil
	}
	if isDeleted(content) {
		content = nil
	}
	return content, pos, err
}

func (p place) write(tx *store.Tx, content []byte, pos journal.Position) error {
	var err error
	if p.isPushRules() {
		_, err = tx.Exec(`
			INSERT INTO push_rules (user_id, settings, pos) VALUES ($1, $2, $3)
			ON CONFLICT (user_id) DO UPDATE SET settings = excluded.settings, pos = excluded.pos`,
			p.user, content, pos)
	} else {
		_, err = tx.Exec(`
			INSERT INTO account_data (user_id, room_id, type, content, pos) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (user_id, room_id, type) DO UPDATE SET content = excluded.content, pos = excluded.pos`,
			p.user, string(p.room), p.dataType, content, pos)
	}
	if err != nil {
		return fmt.Errorf("storing %s: %w", p, err)
	}
	return nil
}

// change sets what is kept there. Unless decidedOn is nil it is refused with
// errConflict if that is not the position of the last change.
func (s *Store) change(p place, content []byte, decidedOn *journal.Position) journal.Change {
	ref := int64(0)
	if p.isPushRules() {
		ref = RefPushRules
	}
	return func(b *journal.Batch) error {
		if decidedOn != nil {
			last, err := p.lastChange(b)
			if err != nil {
				return err
			}
			if last != *decidedOn {
				return errConflict
			}
		}
		pos := b.Append(journal.UserScope(p.user), journal.KindAccountData, ref)
		b.Remember(p, pos)
		b.Write(p, func(tx *store.Tx) error { return p.write(tx, content, pos) })
		switch {
		case p.isPushRules():
			b.Durable(func() { s.forgetRules(p.user) })
		case p.room == "" && IsWish(p.dataType):
			b.Durable(func() { s.forgetWishes(journal.UserScope(p.user)) })
		}
		return nil
	}
}

// lastChange returns the position of the last change, which may be part of the
// same group.
func (p place) lastChange(b *journal.Batch) (journal.Position, error) {
	if pos, ok := b.Memo(p); ok {
		return pos.(journal.Position), nil
	}
	_, pos, err := p.read(b.Row)
	return pos, err
}
