package ephemeral

import (
	"strconv"
	"sync/atomic"
	"time"

	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Shown is the presence of a user as it is told to others. It does not change,
// but for when the user has done something last.
type Shown struct {
	User   id.UserID
	status Status
	active *atomic.Int64
	// The event is head, how long ago the user was active, and tail; if that is
	// not known, only tail.
	head, tail []byte
}

func newShown(per *person, s Status) *Shown {
	shown := &Shown{User: per.user, status: s, active: per.since}
	dst := []byte(`{"content":{`)
	if per.about.AvatarURL != nil {
		dst = append(append(append(dst, `"avatar_url":`...), per.about.AvatarURL...), ',')
	}
	if s.State == Online {
		dst = append(strconv.AppendBool(append(dst, `"currently_active":`...), s.Currently), ',')
	}
	if per.about.Displayname != nil {
		dst = append(append(append(dst, `"displayname":`...), per.about.Displayname...), ',')
	}
	if !s.Active.IsZero() {
		shown.head = append(dst, `"last_active_ago":`...)
		dst = []byte{','}
	}
	dst = canonjson.AppendString(append(dst, `"presence":`...), s.State.String())
	if s.Message != "" {
		dst = canonjson.AppendString(append(dst, `,"status_msg":`...), s.Message)
	}
	dst = canonjson.AppendString(append(dst, `},"sender":`...), string(per.user))
	shown.tail = append(dst, `,"type":"m.presence"}`...)
	return shown
}

// Append appends the m.presence event.
// https://spec.matrix.org/v1.19/client-server-api/#mpresence
func (s *Shown) Append(dst []byte, now time.Time) []byte {
	if s.head != nil {
		dst = append(dst, s.head...)
		dst = strconv.AppendInt(dst, max(0, now.UnixMilli()-s.active.Load()), 10)
	}
	return append(dst, s.tail...)
}

// Size is about how long the event is.
func (s *Shown) Size() int { return len(s.head) + len(s.tail) + 16 }

// shows reports whether what is shown is what there is to say. When somebody was
// active last is no news by itself.
func (p *person) shows(s Status) bool {
	if p.shown == nil {
		return s.State == Offline
	}
	told := p.shown.status
	return told.State == s.State && told.Currently == s.Currently && told.Message == s.Message
}

// A Look says who wants to know of whom.
type Look struct {
	// User is who wants to know, of itself too.
	User id.UserID
	// Rooms are those that the user was in all the time, and Entered the others
	// that the user is in.
	Rooms, Entered []journal.Scope
	// Since is the number of what is known. Everything says that nothing is,
	// Anything that it is not known what.
	Since                uint64
	Everything, Anything bool
}

// See returns what has changed of the user and of those who share a room with the
// user, in no order. Who is offline is told of only to somebody who may believe
// otherwise.
func (p *Presence) See(l Look) []*Shown {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if l.Everything || l.Anything || l.Since < p.floor {
		l.Since = 0
	}
	s := sight{Look: l, seen: make(map[*person]struct{})}
	if own := p.people[l.User]; own != nil && own.changed > l.Since {
		s.see(own)
	}
	for _, scope := range l.Rooms {
		s.room(p.rooms[scope], l.Since)
	}
	for _, scope := range l.Entered {
		s.room(p.rooms[scope], 0)
	}
	return s.shown
}

// sight is what is found by a look.
type sight struct {
	Look
	seen  map[*person]struct{}
	shown []*Shown
}

func (s *sight) room(g *gathering, since uint64) {
	if g == nil || g.changed <= since {
		return
	}
	for e := g.people.Front(); e != nil; e = e.Next() {
		per := e.Value.(*person)
		if per.changed <= since {
			return
		}
		s.see(per)
	}
}

func (s *sight) see(per *person) {
	if _, seen := s.seen[per]; seen || per.shown == nil || s.Everything && per.shown.status.State == Offline {
		return
	}
	s.seen[per] = struct{}{}
	s.shown = append(s.shown, per.shown)
}
