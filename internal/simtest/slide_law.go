package simtest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"parley/matrix/canonjson"
)

// RunSliding is Run for clients of sliding sync: whatever they ask for from time to
// time, in the end they know what somebody knows who asks for it at once.
func RunSliding(t testing.TB, seed uint64, steps int, database string) string {
	t.Helper()
	w := newWorld(t, seed, database)
	for range 4 {
		w.do(w.createRoom())
	}
	w.newStream() // which a burst lets sync
	var sliders []*slider
	for i := range 5 {
		sliders = append(sliders, w.newSlider(i))
	}
	for w.step = 1; w.step <= steps; w.step++ {
		if user := w.recounted; user != "" {
			w.recounted = "" // see act
			for _, s := range sliders {
				if s.person.id == user {
					s.compare()
				}
			}
			continue
		}
		w.slidingStep(sliders)
	}
	for _, s := range sliders {
		s.compare()
	}
	return w.report()
}

func (w *world) slidingStep(sliders []*slider) {
	s := pick(w.rng, sliders)
	dying := func() {
		for _, s := range sliders {
			s.dying = s.poll != nil
		}
	}
	switch n := w.rng.IntN(1000); {
	case n < 500:
		w.do(w.deed())
	case n < 520:
		w.episode()
	case n < 840:
		s.act()
	case n < 930:
		s.compare()
	case n < 960:
		if s.poll == nil {
			s.wait(w.rng.IntN(100))
		}
		w.burst(w.deeds(), nil)
	case n < 972:
		if s.poll == nil {
			s.wait(w.rng.IntN(100))
		}
		dying()
		w.burst(w.deeds(), w.servers[0])
	case n < 980:
		dying()
		w.restart()
	case n < 983:
		w.trim()
	case n < 990:
		w.purge()
	case n < 993:
		w.deleteRoom()
	default:
		s.collect()
		if s.backup != nil { // the answer did not arrive after all
			s.client, s.backup = s.backup, nil
			w.note("slider %d goes back to %s", s.number, s.client.pos)
			w.count("restored")
		}
	}
}

// act lets a slider do something.
func (s *slider) act() {
	w := s.w
	if s.poll != nil {
		s.collect()
		return
	}
	if w.chance(35) {
		s.change()
	}
	switch n := w.rng.IntN(100); {
	case n < 15:
		s.lose()
	case n < 40:
		s.wait(50 + w.rng.IntN(300))
	default:
		s.slide(w.rng.IntN(2))
	}
}

// fresh returns a client that has just asked for the same at once.
func (s *slider) fresh() (*slideClient, canonjson.Value) {
	r := s.request(s.person.watcher, "", 0)
	if r.err != nil || r.status != 200 {
		s.fail("an initial request: %d %s %v", r.status, r.response, r.err)
	}
	c := newSlideClient()
	if err := c.apply(s, r.response); err != nil {
		s.fail("an initial request: %v", err)
	}
	return c, r.response
}

// compare lets the slider ask for all rooms at last, or for some, and compares it
// with a fresh client and with one of v3.
func (s *slider) compare() {
	w := s.w
	s.collect()
	if w.checks.IntN(2) == 0 {
		for i := range s.lists {
			s.lists[i].first, s.lists[i].last = 0, -1
		}
		s.lists[0].filter = ""
	}
	old := &stream{w: w, person: s.person, device: s.person.watcher, filter: new(filter), client: newClient()}
	old.param = old.filter.json()
	for range 50 {
		s.slide(0)
		if s.client.pos == "" {
			continue // it begins anew
		}
		fresh, response := s.fresh()
		v3, _ := old.fresh()
		again, _ := s.fresh()
		if moment(again.pos) != moment(s.client.pos) || moment(fresh.pos) != moment(s.client.pos) {
			continue
		}
		c := slideComparison{slider: s, fresh: fresh, old: old, v3: v3}
		c.all()
		if len(c.differences) > 0 {
			s.fail("the law is broken:\n%s\n\na fresh client got: %s", c.text(), response)
		}
		w.count("comparisons")
		for i := range s.lists { // and so that something happens outside of them again
			s.lists[i] = s.newList(s.lists[i].key)
		}
		clear(s.rooms)
		return
	}
	s.fail("the server does not come to rest")
}

// moment is the part of a pos that says up to where it is.
func moment(pos string) string {
	for i, n := 0, 0; i < len(pos); i++ {
		if pos[i] == '_' {
			if n++; n == 3 {
				return pos[i:]
			}
		}
	}
	return pos
}

type slideComparison struct {
	*slider
	fresh       *slideClient
	old         *stream
	v3          *client
	differences []string
}

func (c *slideComparison) differ(format string, args ...any) {
	c.differences = append(c.differences, fmt.Sprintf(format, args...))
}

func (c *slideComparison) text() (text string) {
	for _, d := range c.differences {
		text += d + "\n"
	}
	return text
}

func (c *slideComparison) maps(what string, mine, theirs any) {
	if a, b := fmt.Sprint(mine), fmt.Sprint(theirs); a != b { // with sorted keys
		c.differ("%s: %s, fresh %s", what, a, b)
	}
}

func (c *slideComparison) all() {
	c.maps("account data", c.client.accountData, c.fresh.accountData)
	c.maps("account data, v3", c.client.accountData, c.v3.accountData)
	for _, l := range c.lists {
		if l.last >= 0 && c.client.counts[l.key] != c.fresh.counts[l.key] {
			// Rooms that were left stand in the list of who knows them, and so there are
			// others in the window.
			c.w.count("other windows")
			return
		}
	}
	for id, theirs := range c.fresh.rooms {
		mine := c.client.rooms[id]
		if mine == nil {
			c.differ("%s: nothing, fresh %v", id, theirs.fields)
			continue
		}
		c.room(id, mine, theirs)
	}
	all := false
	for _, l := range c.lists {
		all = all || l.first == 0 && l.last < 0 && l.filter == ""
		if l.filter == "" { // rooms that were left are only there for who knows them
			if gone := c.client.counts[l.key] - c.fresh.counts[l.key]; gone < 0 {
				c.differ("list %s: %d rooms, fresh %d", l.key, c.client.counts[l.key], c.fresh.counts[l.key])
			}
		}
	}
	if !all {
		return
	}
	for _, section := range []string{"join", "invite", "knock"} {
		for id := range c.v3.in(section) {
			if c.fresh.rooms[id] == nil {
				c.differ("%s: %s, and not in the list of all", id, section)
			}
		}
	}
	c.w.count("whole lists")
}

func (c *slideComparison) room(id string, r, fresh *slideRoom) {
	fields := maps.Clone(r.fields)
	for name, value := range fields {
		if value == "null" {
			delete(fields, name)
		}
	}
	if fields["is_dm"] == "false" {
		delete(fields, "is_dm")
	}
	if fields["heroes"] == "[]" {
		delete(fields, "heroes")
	}
	theirs := maps.Clone(fresh.fields)
	v3 := c.v3.rooms[id]
	out := v3 == nil || v3.section != "join"
	if out { // whose stamp is at most when it is told: what is state may be of later
		delete(fields, "bump_stamp")
		delete(theirs, "bump_stamp")
	}
	if v3 == nil || v3.section == "leave" {
		delete(fields, "joined_count")
		delete(fields, "invited_count")
		for _, name := range []string{"notification_count", "highlight_count", "heroes"} {
			delete(fields, name)
		}
	}
	if len(c.person.ignored) > 0 { // something was said that is not told
		delete(fields, "bump_stamp")
		delete(theirs, "bump_stamp")
	}
	if out && c.w.purged(id) { // who is out has what is gone by now
		delete(fields, "name")
		delete(theirs, "name")
		delete(fields, "avatar")
		delete(theirs, "avatar")
	}
	c.maps(id+": fields", fields, theirs)
	if len(fresh.stripped) > 0 && len(r.stripped) != len(fresh.stripped) {
		c.differ("%s: stripped state %s, fresh %s", id, r.stripped, fresh.stripped)
	}
	want, lazy := c.wants(id, fresh)
	for t, e := range fresh.state {
		if t.kind == "m.room.member" && !want(t) && c.person.ignored[t.key] {
			continue // what the user hears of by now was perhaps said when nobody was to be told
		}
		if got, ok := r.state[t]; !ok || got.id != e.id || !same(got, e) && !e.redacted {
			c.differ("%s: state %v is %s, fresh %s", id, t, got.json, e.json)
		} else if e.redacted && !got.redacted {
			c.differ("%s: state %v is not redacted: %s", id, t, got.json)
		}
	}
	for t, e := range r.state {
		if _, ok := fresh.state[t]; !ok && want(t) && !(out && c.w.purged(id)) {
			c.differ("%s: there is no state %v: %s", id, t, e.json)
		}
	}
	c.timeline(id, r, fresh)
	if v3 == nil || v3.section != "join" {
		return
	}
	c.joined(id, r, fresh, v3, want, lazy)
}

// wants returns which state of a room is asked for at any rate, and whether members
// are loaded lazily. Which lists a room is in only one form says.
func (c *slideComparison) wants(id string, fresh *slideRoom) (want func(tuple) bool, lazy bool) {
	var wishes []slideWish
	if w, ok := c.rooms[id]; ok {
		wishes = append(wishes, w)
	}
	if len(c.lists) == 1 && len(c.rooms) == 0 {
		wishes = append(wishes, c.lists[0].slideWish)
	}
	for _, w := range wishes {
		lazy = lazy || slideWants[w.want].lazy
	}
	return func(t tuple) bool {
		return slices.ContainsFunc(wishes, func(w slideWish) bool { return c.match(w.want, t) })
	}, lazy
}

// timeline demands that the fresh timeline is the end of what the client has.
func (c *slideComparison) timeline(id string, r, fresh *slideRoom) {
	mine, theirs := c.person.heard(r.timeline), c.person.heard(fresh.timeline)
	if len(theirs) > len(mine) && len(c.person.ignored) == 0 {
		c.differ("%s: %d events, fresh %d", id, len(mine), len(theirs))
		return
	}
	n := min(len(mine), len(theirs))
	mine, theirs = mine[len(mine)-n:], theirs[len(theirs)-n:]
	for i, e := range theirs {
		if mine[i].id != e.id {
			c.differ("%s: event %d from the end is %s, fresh %s", id, n-i, mine[i].json, e.json)
			return
		}
	}
}

// joined compares what is told of a room that the user is in with what v3 says.
func (c *slideComparison) joined(id string, r, fresh *slideRoom, v3 *room, want func(tuple) bool, lazy bool) {
	c.maps(id+": account data", r.accountData, v3.accountData)
	if a, b := fmt.Sprint(r.typing), fmt.Sprint(v3.typing); a != b {
		c.differ("%s: typing %s, v3 %s", id, a, b)
	}
	for k, at := range fresh.receipts {
		// Of two at one event there is room for the one that is for all threads.
		_, forAll := r.receipts[receiptKey{k.user, k.kind, ""}]
		if r.receipts[k] != at && (k.thread == "" || !forAll) {
			c.differ("%s: receipt %v at %s, fresh %s", id, k, r.receipts[k], at)
		}
	}
	for k, at := range (&comparison{stream: c.old}).withoutIgnored(r.receipts) {
		_, forAll := r.receipts[receiptKey{k.user, k.kind, ""}]
		if v3.receipts[k] != at && (k.thread == "" || !forAll) {
			c.differ("%s: receipt %v at %s, v3 %s", id, k, at, v3.receipts[k])
		}
	}
	for name, value := range map[string]string{"joined_count": "m.joined_member_count", "invited_count": "m.invited_member_count"} {
		if r.fields[name] != string(v3.summary[value]) {
			c.differ("%s: %s %s, v3 %s", id, name, r.fields[name], v3.summary[value])
		}
	}
	if n := fmt.Sprint(v3.notifications); c.unstable && r.fields["notification_count"] != n {
		c.differ("%s: %s notifications, v3 %s", id, r.fields["notification_count"], n)
	}
	truth := (&comparison{stream: c.old}).truth(id)
	for t, e := range truth {
		got, ok := r.state[t]
		if want(t) && !ok || ok && (want(t) || lazy && t.kind == "m.room.member" && !r.stale[t]) && got.id != e.id {
			c.differ("%s: state %v is %s, true %s", id, t, got.json, e.json)
		}
	}
}
