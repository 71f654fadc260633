package killtest

import (
	"fmt"
	"net/http"
)

// perLife is how often what costs a password's hash is done before a kill.
const perLife = 2

// sessions is somebody who logs in and out, and registers others.
type sessions struct {
	who      *account
	left     int
	live     []*account
	out      []*account
	leaving  *account // logging out was not answered
	names    []string // that were registered
	claiming string   // whose registration was not answered
	count    int
}

func (s *sessions) step(sh *shift) error {
	if s.left == 0 {
		<-sh.gone
		return errDead
	}
	s.left--
	switch {
	case len(s.live) > 2:
		return s.logOut(sh)
	case sh.random.IntN(4) == 0:
		return s.register(sh)
	default:
		return s.logIn(sh)
	}
}

func (s *sessions) logOut(sh *shift) error {
	s.leaving, s.live = s.live[0], s.live[1:]
	if _, err := sh.client.must(request{"POST", "/logout", s.leaving.token, object{}}); err != nil {
		return err
	}
	s.out, s.leaving = append(s.out, s.leaving), nil
	sh.acknowledge()
	return nil
}

func (s *sessions) register(sh *shift) error {
	s.count++
	s.claiming = fmt.Sprint("new", s.count)
	a, err := sh.client.register(s.claiming)
	if err != nil {
		return err
	}
	s.names, s.live, s.claiming = append(s.names, s.claiming), append(s.live, a), ""
	sh.acknowledge()
	return nil
}

func (s *sessions) logIn(sh *shift) error {
	a, err := sh.client.login(s.who.name)
	if err != nil {
		return err
	}
	s.live = append(s.live, a)
	sh.acknowledge()
	return nil
}

func (s *sessions) check(c *client) (checked int, err error) {
	s.left = perLife
	if a := s.leaving; a != nil {
		r := request{"POST", "/logout", a.token, object{}}
		status, answer, err := c.do(r)
		if err == nil && status != http.StatusOK && status != http.StatusUnauthorized {
			err = statusError{r, status, answer}
		}
		if err != nil {
			return 0, err
		}
		s.out, s.leaving = append(s.out, a), nil
	}
	for want, list := range map[int][]*account{http.StatusOK: s.live, http.StatusUnauthorized: s.out} {
		for _, a := range list {
			status, body, err := c.do(request{"GET", "/account/whoami", a.token, nil})
			if err != nil {
				return checked, err
			}
			if status != want {
				return checked, fmt.Errorf("a token of %s: status %d, want %d: %s", a.name, status, want, body)
			}
			checked++
		}
	}
	if s.claiming != "" {
		// There is an account, with its password, or there is none.
		status, _, err := c.do(request{"GET", "/register/available?username=" + s.claiming, "", nil})
		if err != nil {
			return checked, err
		}
		if status == http.StatusOK {
			_, err = c.register(s.claiming)
		} else {
			_, err = c.login(s.claiming)
		}
		if err != nil {
			return checked, err
		}
		s.names, s.claiming = append(s.names, s.claiming), ""
	}
	for _, name := range s.names {
		if status, _, err := c.do(request{"GET", "/register/available?username=" + name, "", nil}); err != nil || status == http.StatusOK {
			return checked, fmt.Errorf("the account %s was acknowledged and is not there: %w", name, err)
		}
		checked++
	}
	return checked, nil
}

// A founder creates rooms.
type founder struct {
	who   *account
	left  int
	rooms map[string]string // room IDs by the localpart of their aliases
	open  string            // an alias whose room was not answered
	count int
}

func (f *founder) step(sh *shift) error {
	if f.left == 0 {
		<-sh.gone
		return errDead
	}
	f.left--
	return f.create(sh)
}

func (f *founder) create(sh *shift) error {
	f.count++
	f.open = fmt.Sprint("founded-", f.count)
	answer, err := sh.client.must(request{"POST", "/createRoom", f.who.token, object{
		"room_alias_name": f.open, "name": f.open, "preset": "public_chat", "visibility": "public",
	}})
	if err != nil {
		return err
	}
	f.rooms[f.open], f.open = text(answer, "room_id"), ""
	sh.acknowledge()
	return nil
}

func (f *founder) check(c *client) (checked int, err error) {
	f.left = perLife
	joined, err := c.must(request{"GET", "/joined_rooms", f.who.token, nil})
	if err != nil {
		return 0, err
	}
	in := make(map[string]bool)
	for room := range joined.Get("joined_rooms").Elements() {
		in[room.String()] = true
	}
	server := f.who.userID[len(f.who.name)+1:]
	for name, room := range f.rooms {
		answer, err := c.must(request{"GET", at("directory", "room", "#"+name+server), f.who.token, nil})
		if err != nil {
			return checked, err
		}
		if got := text(answer, "room_id"); got != room || !in[room] {
			return checked, fmt.Errorf("alias %s leads to %s, want %s, of which its creator is a member: %v", name, got, room, in[room])
		}
		checked++
	}
	if f.open == "" {
		return checked, nil
	}
	// Of a creation without an answer an alias may be left, which leads to a
	// room then.
	status, answer, err := c.do(request{"GET", at("directory", "room", "#"+f.open+server), f.who.token, nil})
	if err == nil && status == http.StatusOK && !in[text(answer, "room_id")] {
		err = fmt.Errorf("alias %s leads to %s, which is no room of its creator", f.open, text(answer, "room_id"))
	}
	f.open = ""
	return checked, err
}
