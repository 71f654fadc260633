package account

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A Session is whom an access token belongs to.
type Session struct {
	UserID   id.UserID
	DeviceID id.DeviceID
	// Guest says that the account is one without registration.
	Guest bool
	// Locked says that nothing is allowed but to log out.
	Locked bool
	// Suspended says that reading and leaving is allowed, and little more.
	Suspended bool
	Admin     bool
}

// Authenticate returns whom an access token belongs to, or
// [mxerr.UnknownToken].
func (a *Accounts) Authenticate(ctx context.Context, token string) (Session, error) {
	if !plausible(token) {
		return Session{}, unknownToken()
	}
	d := digest(sha256.Sum256([]byte(token)))
	session, change, ok := a.sessions.get(d)
	if ok {
		return session, nil
	}
	err := a.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row(`
			SELECT t.user_id, t.device_id, a.guest, a.locked, a.suspended, a.admin
			FROM access_tokens t JOIN accounts a ON a.user_id = t.user_id
			WHERE t.token = $1 AND NOT a.deactivated`, d.bytes()).
			Scan(&session.UserID, &session.DeviceID, &session.Guest, &session.Locked, &session.Suspended, &session.Admin)
	})
	if errors.Is(err, store.ErrNoRows) {
		return Session{}, unknownToken()
	}
	if err != nil {
		return Session{}, fmt.Errorf("looking for an access token: %w", err)
	}
	a.sessions.put(d, session, change)
	return session, nil
}

func unknownToken() error {
	return mxerr.New(mxerr.UnknownToken, "The access token is not known, or no longer").With("soft_logout", false)
}

const (
	// sessionAge is how long a token is believed without asking the database.
	sessionAge = 10 * time.Second
	// sessionsPerGeneration bounds how many tokens are remembered, to twice as
	// many, at some 300 bytes each.
	sessionsPerGeneration = 1 << 14
)

// sessions remembers whom tokens belong to. When young has grown to size it
// becomes old, and the old ones are forgotten.
type sessions struct {
	size int

	mu         sync.Mutex // guards what follows
	young, old map[digest]remembered
	// change is counted whenever something is dropped: what was read from the
	// database before that may have been revoked meanwhile.
	change uint64
}

type remembered struct {
	session Session
	until   time.Time
}

func newSessions(size int) *sessions {
	return &sessions{size: size, young: make(map[digest]remembered)}
}

// get returns what is remembered of a token, and the count that put wants.
func (s *sessions) get(d digest) (session Session, change uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.young[d]
	if !ok {
		r, ok = s.old[d]
	}
	if !ok || time.Now().After(r.until) {
		return Session{}, s.change, false
	}
	return r.session, s.change, true
}

// put remembers what was read after get, unless something was dropped since.
func (s *sessions) put(d digest, session Session, change uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if change != s.change {
		return
	}
	if len(s.young) >= s.size {
		s.young, s.old = make(map[digest]remembered), s.young
	}
	s.young[d] = remembered{session, time.Now().Add(sessionAge)}
}

// drop forgets sessions. It is called after the commit that makes them wrong,
// and also when it is not known whether the commit happened.
func (s *sessions) drop(which func(Session) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change++
	del := func(_ digest, r remembered) bool { return which(r.session) }
	maps.DeleteFunc(s.young, del)
	maps.DeleteFunc(s.old, del)
}

// dropUser forgets all sessions of a user.
func (s *sessions) dropUser(user id.UserID) {
	s.drop(func(other Session) bool { return other.UserID == user })
}
