package killtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
)

// marker is the member of an event's content that no other event has in common
// with it, so that one that was sent twice is noticed.
const marker = "parley.kill"

// A sending is an event that somebody has sent, or tried to.
type sending struct {
	request
	room, marker string
	eventID      string // empty: not acknowledged
	txn          string // empty for state
	redacts      string // of a redaction
	redacted     bool   // a redaction of it was acknowledged
	attacked     bool   // there may be a redaction of it
}

// A sender sends events and redacts some of them.
type sender struct {
	who    *account
	other  *account // who is in all the rooms, too
	rooms  []string
	prefix string
	count  int
	// open were not acknowledged and done were, since the last check; all were
	// ever.
	open, done, all []*sending
}

func (s *sender) step(sh *shift) error {
	switch n := sh.random.IntN(100); {
	case n < 65:
		return s.send(sh, s.message(sh.random))
	case n < 75:
		m := s.message(sh.random)
		return s.twice(sh, m, m)
	case n < 80:
		// No transaction ID says that it is one request, the content does.
		m := s.state(sh.random)
		return s.twice(sh, m, m)
	case n < 88:
		return s.send(sh, s.state(sh.random))
	default:
		if m := s.redaction(sh.random); m != nil {
			return s.send(sh, m)
		}
		return nil
	}
}

func (s *sender) next(random *rand.Rand) *sending {
	s.count++
	return &sending{room: s.rooms[random.IntN(len(s.rooms))], marker: fmt.Sprintf("%s-%d", s.prefix, s.count)}
}

func (s *sender) message(random *rand.Rand) *sending {
	m := s.next(random)
	m.txn = m.marker
	content := object{"msgtype": "m.text", "body": m.marker, marker: m.marker}
	eventType := "m.room.message"
	switch random.IntN(5) {
	case 0:
		content["m.mentions"] = object{"user_ids": []string{s.other.userID}}
	case 1:
		eventType = "com.example.silent"
	}
	m.request = request{"PUT", at("rooms", m.room, "send", eventType, m.txn), s.who.token, content}
	return m
}

func (s *sender) state(random *rand.Rand) *sending {
	m := s.next(random)
	m.request = request{"PUT", at("rooms", m.room, "state", "com.example.state", s.prefix), s.who.token, object{marker: m.marker}}
	return m
}

// redaction returns one of an event that was not redacted yet, nil if there is
// none.
func (s *sender) redaction(random *rand.Rand) *sending {
	if len(s.all) == 0 {
		return nil
	}
	target := s.all[random.IntN(len(s.all))]
	if target.attacked || target.txn == "" || target.redacts != "" {
		return nil
	}
	target.attacked = true
	m := s.next(random)
	m.room, m.txn, m.redacts = target.room, m.marker, target.eventID
	m.request = request{"PUT", at("rooms", m.room, "redact", m.redacts, m.txn), s.who.token, object{"reason": m.marker}}
	return m
}

func (s *sender) send(sh *shift, m *sending) error {
	s.open = append(s.open, m)
	if err := m.do(sh.client); err != nil {
		return err
	}
	s.open = s.open[:len(s.open)-1]
	s.acknowledged(m)
	sh.acknowledge()
	return nil
}

func (s *sender) acknowledged(m *sending) {
	s.done = append(s.done, m)
	s.all = append(s.all, m)
	for _, target := range s.all {
		if m.redacts != "" && target.eventID == m.redacts {
			target.redacted = true
		}
	}
}

// twice sends the same at once from two places.
func (s *sender) twice(sh *shift, m, again *sending) error {
	s.open = append(s.open, m)
	second := *again
	failed := make(chan error)
	go func() { failed <- second.do(sh.client) }()
	err := errors.Join(m.do(sh.client), <-failed)
	if m.eventID != "" && second.eventID != "" && m.eventID != second.eventID {
		return fmt.Errorf("%s %s is two events: %s, %s", m.method, m.path, m.eventID, second.eventID)
	}
	if m.eventID == "" {
		m.eventID = second.eventID
	}
	if m.eventID == "" {
		return err
	}
	s.open = s.open[:len(s.open)-1]
	s.acknowledged(m)
	sh.acknowledge()
	return err
}

// do sends it. What it was before it must be again.
func (m *sending) do(c *client) error {
	answer, err := c.must(m.request)
	if err != nil {
		return err
	}
	eventID := text(answer, "event_id")
	if m.eventID != "" && eventID != m.eventID {
		return fmt.Errorf("%s %s: the event was %s and is %s when it is repeated", m.method, m.path, m.eventID, eventID)
	}
	m.eventID = eventID
	return nil
}

func (s *sender) check(c *client) (checked int, err error) {
	for len(s.open) > 0 {
		if err := s.open[0].do(c); err != nil {
			return 0, err
		}
		s.acknowledged(s.open[0])
		s.open = s.open[1:]
	}
	for _, m := range s.done {
		for _, reader := range []*account{s.who, s.other} {
			if err := m.read(c, reader); err != nil {
				return checked, err
			}
		}
		if m.txn != "" {
			if err := m.do(c); err != nil {
				return checked, err
			}
		}
		checked++
	}
	s.done = nil
	return checked, nil
}

// read looks whether the event is there.
func (m *sending) read(c *client, reader *account) error {
	status, body, err := c.do(request{"GET", at("rooms", m.room, "event", m.eventID), reader.token, nil})
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s does not see event %s, which was acknowledged: status %d: %s", reader.name, m.eventID, status, body)
	}
	want := m.marker
	if m.redacted || m.redacts != "" {
		want = ""
	}
	if got := text(body, "content", marker); got != want {
		return fmt.Errorf("event %s says %q, want %q", m.eventID, got, want)
	}
	return nil
}
