package directory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/textindex"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/stateres"
)

// takeEntries takes in what entries of the journal tell of users of other servers.
func (d *Directory) takeEntries(ctx context.Context, entries []journal.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	var members []stateres.Num
	crowds := make(map[room.Num]bool)
	for _, e := range entries {
		switch {
		case e.Kind == journal.KindMembers && e.Ref != 0:
			members = append(members, stateres.Num(e.Ref))
		case e.Kind == journal.KindMembers, e.Kind == journal.KindWhole:
			crowds[room.Num(e.Scope.Number())] = true
		}
	}
	found, err := d.Rooms.Stored(ctx, members)
	if err != nil {
		return err
	}
	var users []id.UserID
	for _, s := range found {
		if key, ok := s.Event.StateKey(); ok && s.Event.Type() == event.TypeMember {
			users = append(users, id.UserID(key))
		}
	}
	for num := range crowds {
		if err := d.refreshMembers(ctx, num); err != nil {
			return err
		}
	}
	pos := entries[len(entries)-1].Pos
	slices.Sort(users)
	if users = slices.Compact(users); len(users) > 0 {
		if err := d.refresh(ctx, users, func(tx *store.Tx) error { return d.journal.Store(tx, pos) }); err != nil {
			return err
		}
		d.journal.Pass(pos)
		return nil
	}
	return d.journal.Skip(ctx, pos)
}

// refreshMembers looks at all members of a room who are not of this server.
func (d *Directory) refreshMembers(ctx context.Context, num room.Num) error {
	for after := id.UserID(""); ; {
		users, err := d.Rooms.MembersBehind(ctx, num, after, chunk)
		if err != nil || len(users) == 0 {
			return err
		}
		after = users[len(users)-1]
		if err := d.refresh(ctx, users, nil); err != nil {
			return err
		}
	}
}

// takeNotes looks at the users of this server of whom something has changed.
func (d *Directory) takeNotes(ctx context.Context) error {
	d.mu.Lock()
	perhaps := time.Since(d.noted) < settling
	d.mu.Unlock()
	if !perhaps {
		return nil
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	for {
		notes, err := d.notes(ctx)
		if err != nil || len(notes) == 0 {
			return err
		}
		var users []id.UserID
		for user := range notes {
			users = append(users, user)
		}
		err = d.refresh(ctx, users, func(tx *store.Tx) error {
			for user, changes := range notes {
				// Who has changed something since this has looked is looked at again.
				if err := tx.Queue("DELETE FROM directory_notes WHERE user_id = $1 AND changes = $2", user, changes); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// notes returns some of the users of whom something has changed, and how often.
func (d *Directory) notes(ctx context.Context) (map[id.UserID]int64, error) {
	notes := make(map[id.UserID]int64)
	err := d.DB.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT user_id, changes FROM directory_notes LIMIT $1", chunk) {
			if err != nil {
				return err
			}
			var user id.UserID
			var changes int64
			if err := row.Scan(&user, &changes); err != nil {
				return err
			}
			notes[user] = changes
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading of which users something has changed: %w", err)
	}
	return notes, nil
}

// entry is a user as the directory has it.
type entry struct {
	user  id.UserID
	doc   textindex.Doc
	words string
}

// refresh looks how users are called now, and does something else in the transaction that
// notes it.
func (d *Directory) refresh(ctx context.Context, users []id.UserID, with func(*store.Tx) error) error {
	now, err := d.words(ctx, users)
	if err != nil {
		return err
	}
	err = d.DB.Update(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, users)
		known, err := scanEntries(tx, "user_id "+in, list)
		if err != nil {
			return err
		}
		same := make(map[id.UserID]bool)
		var gone []textindex.Doc
		for _, e := range known {
			if same[e.user] = now[e.user] == e.words; !same[e.user] {
				gone = append(gone, e.doc)
			}
		}
		if err := d.remove(tx, gone); err != nil {
			return err
		}
		var fresh []entry
		for _, user := range users {
			if words := now[user]; words != "" && !same[user] {
				fresh = append(fresh, entry{user: user, words: words})
			}
		}
		if err := d.add(tx, fresh); err != nil || with == nil {
			return err
		}
		return with(tx)
	})
	if err != nil {
		return fmt.Errorf("noting how %d users are called: %w", len(users), err)
	}
	return d.names.Seal(ctx)
}

var insertUsers = &store.Insert{Table: "directory_users", Columns: []store.Column{
	{Name: "user_id", Type: store.Text}, {Name: "doc", Type: store.Int}, {Name: "words", Type: store.Text},
}}

func (d *Directory) add(tx *store.Tx, fresh []entry) error {
	if len(fresh) == 0 {
		return nil
	}
	texts := make([]textindex.Text, len(fresh))
	for i, e := range fresh {
		texts[i].Folded = e.words
	}
	first, err := d.names.Add(tx, texts)
	if err != nil {
		return err
	}
	rows := make([][]any, len(fresh))
	for i, e := range fresh {
		rows[i] = []any{e.user, first + textindex.Doc(i), e.words}
	}
	return tx.QueueAll(insertUsers, rows)
}

func (d *Directory) remove(tx *store.Tx, gone []textindex.Doc) error {
	if len(gone) == 0 {
		return nil
	}
	in, list := tx.In(1, gone)
	if _, err := tx.Exec("DELETE FROM directory_users WHERE doc "+in, list); err != nil {
		return err
	}
	return d.names.Remove(tx, gone)
}

func scanEntries(tx *store.Tx, where string, args ...any) ([]entry, error) {
	return store.Collect(tx.Query("SELECT user_id, doc, words FROM directory_users WHERE "+where, args...),
		func(scan func(...any) error) (e entry, err error) {
			err = scan(&e.user, &e.doc, &e.words)
			return e, err
		})
}

// words returns what users are to be found by: nothing for those who are not.
func (d *Directory) words(ctx context.Context, users []id.UserID) (map[id.UserID]string, error) {
	words := make(map[id.UserID]string, len(users))
	var others []id.UserID
	for _, user := range users {
		if user.Server() != d.Server {
			others = append(others, user)
			continue
		}
		name, _, err := d.profile(ctx, user)
		if err != nil {
			return nil, err
		}
		words[user] = wordsOf(user, name)
	}
	if len(others) == 0 {
		return words, nil
	}
	called, err := d.Rooms.Called(ctx, others, indexedRooms)
	for user, list := range called {
		words[user] = wordsOf(user, namesOf(list)...)
	}
	return words, err
}

func (d *Directory) profile(ctx context.Context, user id.UserID) (name, avatar string, err error) {
	fields, err := d.Profile(ctx, user)
	if err != nil {
		return "", "", err
	}
	name, _ = fields.Get("displayname").Text()
	avatar, _ = fields.Get("avatar_url").Text()
	return name, avatar, nil
}

// wordsOf returns the words of a user's name in IDs and other names, as they are compared,
// each name on a line.
func wordsOf(user id.UserID, names ...string) string {
	lines := []string{textindex.Fold(user.Localpart())}
	for _, name := range names {
		if name = textindex.Fold(name); name != "" && !slices.Contains(lines, name) {
			lines = append(lines, name)
		}
	}
	return strings.Join(lines, "\n")
}

func namesOf(called []room.Called) (names []string) {
	for _, c := range called {
		names = append(names, c.Displayname)
	}
	return names
}
