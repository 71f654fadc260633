// Package rendezvous holds what two devices say to each other before one of them is
// logged in: https://github.com/matrix-org/matrix-spec-proposals/pull/4388 and, as it
// was in 2024, https://github.com/matrix-org/matrix-spec-proposals/pull/4108
//
// A session is one text, which whoever knows the ID of the session may read, and
// replace if they have read the present one. The devices encrypt what they write. All
// of it is in memory: sessions are few, small and short, and devices begin anew when
// the server was restarted.
package rendezvous

import (
	"crypto/rand"
	"sync"
	"time"

	"parley/matrix/mxerr"
)

const (
	// MaxData is how many bytes a session has at most.
	MaxData = 4096
	// life is how long a session lasts, however often it is written to.
	life = 5 * time.Minute
	// mostSessions bounds the memory, to 40 MB.
	mostSessions = 10_000
)

// ConcurrentWrite is the code for who has not read what would be replaced.
const ConcurrentWrite mxerr.Code = "M_CONCURRENT_WRITE"

// A Session is what there is at one moment.
type Session struct {
	ID      string
	Data    string
	Token   string // is another one after each write
	Written time.Time
	Expires time.Time
}

// Sessions are all of a server. They are safe for concurrent use.
type Sessions struct {
	mu    sync.Mutex
	byID  map[string]*Session
	order []string // of the IDs, by age; those that were cancelled among them
}

// New returns no sessions.
func New() *Sessions { return &Sessions{byID: make(map[string]*Session)} }

// Create begins a session. It is refused with M_TOO_LARGE, or with M_LIMIT_EXCEEDED if
// there are as many as may be: those that are under way are not given up for it.
func (s *Sessions) Create(data string) (Session, error) {
	if err := check(data); err != nil {
		return Session{}, err
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	if len(s.order) >= mostSessions {
		return Session{}, mxerr.New(mxerr.LimitExceeded, "Too many devices are being logged in").With("retry_after_ms", life.Milliseconds()/10)
	}
	n := &Session{ID: rand.Text(), Data: data, Token: rand.Text(), Written: now, Expires: now.Add(life)}
	s.byID[n.ID] = n
	s.order = append(s.order, n.ID)
	return *n, nil
}

func check(data string) error {
	if len(data) > MaxData {
		return mxerr.New(mxerr.TooLarge, "There can be %d bytes and not more", MaxData)
	}
	return nil
}

// expire removes what is too old. The caller holds mu.
func (s *Sessions) expire(now time.Time) {
	for len(s.order) > 0 {
		if n := s.byID[s.order[0]]; n != nil && now.Before(n.Expires) {
			return
		}
		delete(s.byID, s.order[0])
		s.order = s.order[1:]
	}
}

// find returns a session that has not expired. The caller holds mu.
func (s *Sessions) find(sessionID string) (*Session, error) {
	n := s.byID[sessionID]
	if n == nil || !time.Now().Before(n.Expires) {
		return nil, mxerr.New(mxerr.NotFound, "There is no such session, or not any more")
	}
	return n, nil
}

// Get returns a session, or a M_NOT_FOUND.
func (s *Sessions) Get(sessionID string) (Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(sessionID)
	if err != nil {
		return Session{}, err
	}
	return *n, nil
}

// Put replaces what is in a session, for who knows the token of what is there. It
// returns the session as it is afterwards, also with [ConcurrentWrite]. To repeat says
// that what is there already may be written again with an old token, which changes
// nothing: a client does not know that its request has arrived.
func (s *Sessions) Put(sessionID, token, data string, repeat bool) (Session, error) {
	if err := check(data); err != nil {
		return Session{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(sessionID)
	switch {
	case err != nil:
		return Session{}, err
	case token != n.Token && repeat && data == n.Data:
		return *n, nil
	case token != n.Token:
		return *n, mxerr.New(ConcurrentWrite, "Something else was written meanwhile").WithStatus(409)
	}
	n.Data, n.Token, n.Written = data, rand.Text(), time.Now()
	return *n, nil
}

// Delete ends a session, or refuses with M_NOT_FOUND.
func (s *Sessions) Delete(sessionID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.find(sessionID); err != nil {
		return err
	}
	delete(s.byID, sessionID)
	return nil
}
