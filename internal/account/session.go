package account

import (
	"context"
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
	d := digestOf(token)
	session, change, ok := a.sessions.get(d)
	if ok {
		return session, nil
	}
	session, row, err := a.readSession(ctx, d)
	if err != nil {
		return Session{}, err
	}
	if row.state == tokensSpent || row.expired(time.Now()) {
		return Session{}, softLogout()
	}
	if row.state == tokensNew {
		if err := a.settle(ctx, session.UserID, session.DeviceID, row.refresh); err != nil {
			return Session{}, err
		}
		return a.Authenticate(ctx, token) // by what is so now
	}
	a.sessions.put(d, session, change, row.expires)
	return session, nil
}

// Act returns the session of an application service that acts for a user, on a device
// of the user's unless that is empty. The refusals are [mxerr.NotFound],
// [mxerr.UserDeactivated] and [mxerr.UnknownDevice].
func (a *Accounts) Act(ctx context.Context, user id.UserID, device id.DeviceID) (Session, error) {
	d := digestOf("\x00" + string(user) + "\x00" + string(device)) // of what cannot be a token
	session, change, ok := a.sessions.get(d)
	if ok {
		return session, nil
	}
	var info Info
	devices := int64(1)
	err := a.db.View(ctx, func(tx *store.Tx) (err error) {
		if info, _, err = readAccount(tx, user); err != nil || device == "" {
			return err
		}
		return tx.Row("SELECT count(*) FROM devices WHERE user_id = $1 AND device_id = $2 AND NOT leaving", user, device).Scan(&devices)
	})
	switch {
	case err != nil:
		return Session{}, fmt.Errorf("acting for %s: %w", user, missing(user, err))
	case info.Deactivated:
		return Session{}, deactivated()
	case devices == 0:
		return Session{}, mxerr.New(mxerr.UnknownDevice, "%s has no such device", user)
	}
	session = Session{UserID: user, DeviceID: device, Guest: info.Guest, Locked: info.Locked, Suspended: info.Suspended, Admin: info.Admin}
	a.sessions.put(d, session, change, time.Time{})
	return session, nil
}

// readSession reads what there is to know of an access token.
func (a *Accounts) readSession(ctx context.Context, d digest) (s Session, row tokenRow, err error) {
	err = a.db.View(ctx, func(tx *store.Tx) error {
		var expires int64
		err := tx.Row(`
			SELECT t.user_id, t.device_id, a.guest, a.locked, a.suspended, a.admin, t.expires, t.refresh, r.state
			FROM access_tokens t JOIN accounts a ON a.user_id = t.user_id LEFT JOIN refresh_tokens r ON r.token = t.refresh
			WHERE t.token = $1 AND NOT a.deactivated`, d.bytes()).
			Scan(&s.UserID, &s.DeviceID, &s.Guest, &s.Locked, &s.Suspended, &s.Admin, &expires, &row.refresh, &row.state)
		if row.refresh == nil {
			row.state = tokensInUse
		}
		if expires != 0 {
			row.expires = time.UnixMilli(expires)
		}
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return s, row, unknownToken()
	}
	if err != nil {
		return s, row, fmt.Errorf("looking for an access token: %w", err)
	}
	return s, row, nil
}

func unknownToken() error {
	return mxerr.New(mxerr.UnknownToken, "The access token is not known, or no longer").With("soft_logout", false)
}

// softLogout is for tokens that are no longer good while the device is still
// there: https://spec.matrix.org/v1.19/client-server-api/#soft-logout
func softLogout() error {
	return mxerr.New(mxerr.UnknownToken, "The token has expired, or there is a newer one").With("soft_logout", true)
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
	watchers   map[*watcher]bool
	// change is counted whenever something is dropped: what was read from the
	// database before that may have been revoked meanwhile.
	change uint64
}

type remembered struct {
	session Session
	until   time.Time
}

func newSessions(size int) *sessions {
	return &sessions{size: size, young: make(map[digest]remembered), watchers: make(map[*watcher]bool)}
}

// get returns what is remembered of a token, and the count that put wants.
func (s *sessions) get(d digest) (session Session, change uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.young[d]
	if !ok {
		r, ok = s.old[d]
	}
	if !ok || !time.Now().Before(r.until) {
		return Session{}, s.change, false
	}
	return r.session, s.change, true
}

// put remembers what was read after get, unless something was dropped since. The
// token expires at some time, or never if that is zero.
func (s *sessions) put(d digest, session Session, change uint64, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if change != s.change {
		return
	}
	if len(s.young) >= s.size {
		s.young, s.old = make(map[digest]remembered), s.young
	}
	until := time.Now().Add(sessionAge)
	if !expires.IsZero() && expires.Before(until) {
		until = expires
	}
	s.young[d] = remembered{session, until}
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
	for w := range s.watchers {
		if which(w.session) {
			w.changed()
		}
	}
}

// A watcher wants to know when a session has changed.
type watcher struct {
	session Session
	changed context.CancelFunc
}

// Watch returns a context that ends when something of a user's device may have
// changed of what [Accounts.Authenticate] says, by this node's doing. Whoever was
// told before asks again. Call stop in the end.
func (a *Accounts) Watch(user id.UserID, device id.DeviceID) (changed context.Context, stop func()) {
	return a.sessions.watch(Session{UserID: user, DeviceID: device})
}

func (s *sessions) watch(session Session) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{session, cancel}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[w] = true
	return ctx, func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}
}

// dropDevice forgets the sessions of a device of a user. Requests of others go on.
func (s *sessions) dropDevice(user id.UserID, device id.DeviceID) {
	s.drop(func(other Session) bool { return other.UserID == user && other.DeviceID == device })
}

// dropUser forgets all sessions of a user.
func (s *sessions) dropUser(user id.UserID) {
	s.drop(func(other Session) bool { return other.UserID == user })
}
