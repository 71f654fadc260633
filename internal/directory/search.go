package directory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/textindex"
	"parley/matrix/id"
)

// A User is somebody who was found.
type User struct {
	UserID      id.UserID `json:"user_id"`
	DisplayName string    `json:"display_name,omitempty"`
	AvatarURL   string    `json:"avatar_url,omitempty"`

	score score
}

// What bounds the work of one search.
const (
	// mostCandidates is how many users are compared with what is wanted.
	mostCandidates = 5000
	// mostSimilar is how many of those are who may have been mistyped.
	mostSimilar = 200
	// mostLooked is of how many it is asked whether they may be found, some at a time.
	mostLooked = 1000
	lookStep   = 50
)

// Search returns up to limit users whom a user may find, the best first, and whether there
// are more.
func (d *Directory) Search(ctx context.Context, viewer id.UserID, term string, limit int) (found []User, limited bool, err error) {
	meant := meanings(term)
	if len(meant) == 0 {
		return nil, false, nil
	}
	d.journal.CatchUp(ctx)
	if err := d.takeNotes(ctx); err != nil {
		return nil, false, err
	}
	for _, look := range []func(context.Context, id.UserID, wanted) ([]candidate, error){d.matching, d.similar} {
		for _, w := range meant {
			candidates, err := look(ctx, viewer, w)
			if err == nil {
				found, err = d.visible(ctx, viewer, w, candidates, limit+1)
			}
			if err != nil {
				return nil, false, err
			}
			if len(found) > 0 {
				slices.SortFunc(found, func(a, b User) int { return cmp.Or(b.score.compare(a.score), cmp.Compare(a.UserID, b.UserID)) })
				return found[:min(limit, len(found))], len(found) > limit, nil
			}
		}
	}
	return nil, false, nil
}

// A candidate is a user whose words are about what is wanted.
type candidate struct {
	entry
	score score
}

// matching returns the users whose words are what is wanted, the best first; of very many,
// those first who share a room with who looks for them.
func (d *Directory) matching(ctx context.Context, viewer id.UserID, w wanted) ([]candidate, error) {
	var list []candidate
	for h := d.names.Find(textindex.Query{Terms: w.terms}); !h.Done() && len(list) < mostCandidates; {
		docs, err := h.Next(ctx)
		if err != nil {
			return nil, err
		}
		entries, err := d.entries(ctx, docs)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if s := w.score(e.user, e.words); s.match > mistyped {
				list = append(list, candidate{e, s})
			}
		}
	}
	sortCandidates(list)
	if len(list) <= mostLooked {
		return list, nil
	}
	return list, d.sharersFirst(ctx, viewer, list)
}

// sharersFirst moves those forward who share a room with a user: there are too many to ask of
// each whether the user may find them.
func (d *Directory) sharersFirst(ctx context.Context, viewer id.UserID, list []candidate) error {
	users := make([]id.UserID, len(list))
	for i, c := range list {
		users[i] = c.user
	}
	sharers, err := d.Rooms.Sharers(ctx, viewer, users)
	shares := make(map[id.UserID]bool, len(sharers))
	for _, user := range sharers {
		shares[user] = true
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return compareBool(shares[b.user], shares[a.user]) })
	return err
}

// similar returns users who may be meant by what may be mistyped.
func (d *Directory) similar(ctx context.Context, _ id.UserID, w wanted) ([]candidate, error) {
	if !w.mayBeMistyped() {
		return nil, nil
	}
	docs, err := d.names.Similar(ctx, w.text, mostSimilar)
	if err != nil {
		return nil, err
	}
	entries, err := d.entries(ctx, docs)
	var list []candidate
	for _, e := range entries {
		if s := w.score(e.user, e.words); s.match > 0 {
			list = append(list, candidate{e, s})
		}
	}
	sortCandidates(list)
	return list, err
}

func sortCandidates(list []candidate) {
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Or(b.score.compare(a.score), cmp.Compare(a.user, b.user)) })
}

func (d *Directory) entries(ctx context.Context, docs []textindex.Doc) (list []entry, err error) {
	if len(docs) == 0 {
		return nil, nil
	}
	err = d.DB.View(ctx, func(tx *store.Tx) error {
		in, arg := tx.In(1, docs)
		list, err = scanEntries(tx, "doc "+in, arg)
		return err
	})
	if err != nil {
		err = fmt.Errorf("reading who %d users are: %w", len(docs), err)
	}
	return list, err
}

// visible returns up to limit of some candidates whom a user may find by what the user may
// know of them.
func (d *Directory) visible(ctx context.Context, viewer id.UserID, w wanted, candidates []candidate, limit int) (found []User, err error) {
	candidates = candidates[:min(len(candidates), mostLooked)]
	for part := range slices.Chunk(candidates, lookStep) {
		if len(found) >= limit {
			break
		}
		users, err := d.look(ctx, viewer, w, part)
		if err != nil {
			return nil, err
		}
		found = append(found, users...)
	}
	return found[:min(limit, len(found))], nil
}

// look returns those of some candidates whom a user may find, as the user may know them.
func (d *Directory) look(ctx context.Context, viewer id.UserID, w wanted, part []candidate) (found []User, err error) {
	var users, locals []id.UserID
	for _, c := range part {
		if c.user == viewer {
			continue
		}
		users = append(users, c.user)
		if c.user.Server() == d.Server {
			locals = append(locals, c.user)
		}
	}
	listed, err := d.Listed(ctx, locals)
	if err != nil {
		return nil, err
	}
	called, err := d.Rooms.CalledFor(ctx, viewer, users, indexedRooms)
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		names, known := called[user]
		local := user.Server() == d.Server
		switch {
		case !known && !d.All, local && !listed[user]:
			continue
		case local:
			name, avatar, err := d.profile(ctx, user)
			if err != nil {
				return nil, err
			}
			names = []room.Called{{Displayname: name, AvatarURL: avatar}}
		case !known:
			names = []room.Called{{}}
		}
		if u, ok := w.best(user, names); ok {
			u.score.local = local
			found = append(found, u)
		}
	}
	return found, nil
}

// best returns a user by that of several names which is best what is wanted, the first of
// those that are as good; ok is false if none is.
func (w wanted) best(user id.UserID, names []room.Called) (best User, ok bool) {
	for _, c := range names {
		s := w.score(user, wordsOf(user, c.Displayname))
		s.named = c.Displayname != ""
		if s.match > 0 && (!ok || s.compare(best.score) > 0) {
			best, ok = User{user, c.Displayname, c.AvatarURL, s}, true
		}
	}
	return best, ok
}

// wanted is what somebody looks for.
type wanted struct {
	text  string // folded, without what is of an ID only
	terms []textindex.Term
	// server is how the name of the server begins, of who looks for an ID.
	server string
}

// meanings returns what somebody may have meant by a term, if anything: as it stands, and
// an ID whose @ was left out.
func meanings(term string) (list []wanted) {
	term = strings.TrimSpace(term)
	terms := []string{term}
	if strings.Contains(term, ":") && !strings.HasPrefix(term, "@") && len(strings.Fields(term)) == 1 {
		terms = append(terms, "@"+term)
	}
	for _, t := range terms {
		if w := parseWanted(t); len(w.terms) > 0 {
			list = append(list, w)
		}
	}
	return list
}

// parseWanted reads what somebody has typed: parts of names, or of an ID.
func parseWanted(term string) wanted {
	term = strings.TrimSpace(term)
	w := wanted{}
	if local, server, isID := strings.Cut(term, ":"); isID && strings.HasPrefix(term, "@") {
		term, w.server = local, strings.ToLower(server)
	}
	w.text = textindex.Fold(strings.TrimPrefix(term, "@"))
	w.terms = textindex.ParseTerms(strings.ReplaceAll(w.text, `"`, " "))
	return w
}
