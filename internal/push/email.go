package push

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"parley/internal/journal"
	"parley/internal/mail"
	"parley/matrix/event"
	"parley/matrix/id"
)

// Post is how mail is sent to addresses that are the users', by [Ways].
type Post struct {
	// Server is the name of this server.
	Server id.ServerName
	Send   func(context.Context, mail.Letter) error
	// Page is where the pusher that a letter is from is removed, by its ticket.
	Page func(ticket string) string
}

// For how long mail waits, so that who reads in time gets none: twice as long after
// each time that some was sent, until the user reads something.
const (
	leastMailPause = 10 * time.Minute
	mostMailPause  = 12 * time.Hour
)

const (
	// mostMailAge is how old something may be of which people are told by mail.
	mostMailAge = 3 * 24 * time.Hour
	// mostMailed is of how many events people are told at once, mostLetters by how many
	// letters, and mostSaid is how many characters there are of what was said.
	mostMailed  = 50
	mostLetters = 5
	mostSaid    = 1000
)

// ripen has what is to be said by mail wait. The caller holds mu.
func (s *Sender) ripen(t *target) {
	if s.ctx == nil || s.ctx.Err() != nil {
		return
	}
	t.waiting = time.AfterFunc(min(leastMailPause<<min(t.letters, 10), mostMailPause), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		t.waiting, t.ripe = nil, true
		s.wake(t)
	})
}

// sendMail tells somebody by mail what is unread of what has come since the last.
func (s *Sender) sendMail(ctx context.Context, t *target) (sent bool, err error) {
	s.mu.Lock()
	from, upTo := t.recall, max(s.reached, t.last)
	s.mu.Unlock()
	if sent, err = s.mailSince(ctx, t, max(from, t.pos), upTo); err != nil {
		return false, err // it is still ripe
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.ripe, t.recall = false, 0
	if t.last > upTo && !t.gone { // something has come meanwhile
		t.recall = upTo
	}
	if sent {
		t.letters++
		s.counters.letters.Add(1)
	}
	return sent, nil
}

func (s *Sender) mailSince(ctx context.Context, t *target, from, upTo journal.Position) (sent bool, err error) {
	known, err := s.Pushers.ways.Owns(ctx, t.User, t.Key)
	if err != nil {
		return false, faultOf(err)
	}
	if !known {
		return false, errRejected // the address was taken out of the account
	}
	if quiet, err := s.Quiet(ctx, t.User); err != nil || quiet {
		return false, faultOf(err)
	}
	list, err := s.remember(ctx, t, from, upTo, mostMailAge, mostMailed)
	if err != nil {
		return false, faultOf(err)
	}
	for _, l := range s.letters(t.Pusher, list) {
		switch err := s.Post.Send(ctx, l); {
		case errors.Is(err, mail.ErrRefused):
			// To send it again is of no use, and the next may be taken.
			s.counters.refused.Add(1)
			s.Log.Warn("mail about unread messages was refused", "user", t.User, "err", err)
		case err != nil:
			return sent, err
		default:
			sent = true
		}
	}
	return sent, nil
}

// letters are what tells of unread events: a letter for each room and thread, and one
// for all that is left if those are many.
func (s *Sender) letters(p Pusher, list []note) []mail.Letter {
	var order []string
	groups := make(map[string][]note)
	for _, n := range list {
		about := string(n.roomID) + "\x00" + string(n.item.Thread)
		if groups[about] == nil {
			order = append(order, about)
		}
		groups[about] = append(groups[about], n)
	}
	var letters []mail.Letter
	for i, about := range order {
		if i == mostLetters-1 && len(order) > mostLetters {
			return append(letters, s.digest(p, order[i:], groups))
		}
		notes := groups[about]
		l := s.letter(p, subject(notes), about)
		l.Body = append(conversation(p, notes), l.Body...)
		letters = append(letters, l)
	}
	return letters
}

// digest is a letter about several conversations.
func (s *Sender) digest(p Pusher, order []string, groups map[string][]note) mail.Letter {
	l := s.letter(p, fmt.Sprintf("Unread messages in %d more conversations", len(order)), "")
	var body []mail.Part
	for _, about := range order {
		body = append(append(body, mail.Heading(subject(groups[about]))), conversation(p, groups[about])...)
	}
	l.Body = append(body, l.Body...)
	return l
}

// letter is a letter that says nothing yet but why it comes.
func (s *Sender) letter(p Pusher, subject, thread string) mail.Letter {
	stop := s.Post.Page(p.ticket)
	return mail.Letter{
		To: mail.Address(p.Key), Subject: subject, Thread: thread, Unsubscribe: stop,
		Body: []mail.Part{
			mail.Small(fmt.Sprintf("You get this because %s on %s wants mail about what is unread.", p.User, s.Post.Server)),
			mail.Link{Label: "No more mail about unread messages", Address: stop},
		},
	}
}

// conversation is what was said, and where to answer.
func conversation(p Pusher, notes []note) (body []mail.Part) {
	for _, n := range notes {
		body = append(body, mail.Said{
			Who: n.by(), When: time.UnixMilli(n.event.OriginServerTS()).UTC().Format("2 January, 15:04 UTC"), What: said(n.event), New: true,
		})
	}
	last := notes[len(notes)-1]
	link := "https://matrix.to/#/" + url.PathEscape(string(last.roomID))
	if !last.invites(p.User) {
		link += "/" + url.PathEscape(string(last.event.ID()))
	}
	return append(body, mail.Link{Label: "Open the conversation", Address: link})
}

// by is how the sender is called.
func (n note) by() string {
	if n.sender != "" {
		return n.sender
	}
	return string(n.event.Sender())
}

// in is how the room is called, empty if it has no name.
func (n note) in() string {
	if n.roomName != "" {
		return n.roomName
	}
	return n.roomAlias
}

// subject is what some notes of one room are about.
func subject(notes []note) string {
	n := notes[0]
	where := ""
	if name := n.in(); name != "" {
		where = " in " + name
	}
	switch {
	case n.event.Type() == event.TypeMember && n.in() != "":
		return n.by() + " invites you to " + n.in()
	case n.event.Type() == event.TypeMember:
		return n.by() + " invites you"
	case len(notes) == 1:
		return "A message from " + n.by() + where
	}
	var names []string
	for _, n := range notes {
		if by := n.by(); !slices.Contains(names, by) {
			names = append(names, by)
		}
	}
	if len(names) > 3 {
		names = append(names[:2], "others")
	}
	return fmt.Sprintf("%d messages from %s%s", len(notes), strings.Join(names, ", "), where)
}

// said is what somebody has said, in words.
func said(e *event.Event) string {
	text, _ := e.Content().Get("body").Text()
	switch e.Type() {
	case "m.room.encrypted":
		return "An encrypted message, which only your devices can read."
	case event.TypeMember:
		if reason, _ := e.Content().Get("reason").Text(); reason != "" {
			return "An invite: " + reason
		}
		return "An invite."
	case "m.call.invite":
		return "A call."
	}
	if text == "" {
		return "Something that cannot be shown here."
	}
	runes := []rune(text)
	if len(runes) > mostSaid {
		return string(runes[:mostSaid]) + "…"
	}
	return text
}
