package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// agree is the end of a scene: nothing happens any more, and soon all devices
// have of the room what the server says.
func agree(r id.RoomID, devices ...*device) {
	for _, d := range devices {
		d.t.Helper()
		d.agrees(r)
	}
}

func (d *device) agrees(r id.RoomID) {
	d.t.Helper()
	w := d.word(r)
	receipts, err := w.sync.receipts()
	if err != nil {
		d.t.Fatalf("%s: %v", d.who, err)
	}
	d.untilNothing("agreement with the server about "+r.String(), func() string {
		known := d.room(r)
		var c complaints
		c.equal("the part of the sync that has the room", known.part, w.part)
		c.state(known, w)
		c.members(d, known, w)
		c.powerLevels(d, w)
		c.timeline(known, w)
		if w.part == "join" {
			c.equalMaps("receipts", known.receipts, receipts)
			c.equal("unread counts", known.unread, [2]int{w.sync.Unread.Notifications, w.sync.Unread.Highlights})
			c.summary(known, w)
			c.equalMaps("account data", known.account, accountData(w))
		}
		return strings.Join(c, "\n")
	})
}

// complaints say where a device and the server differ.
type complaints []string

func (c *complaints) add(format string, args ...any) {
	*c = append(*c, fmt.Sprintf(format, args...))
}

func (c *complaints) equal(what string, device, server any) {
	if device != server {
		c.add("%s: the device has %v, the server says %v", what, device, server)
	}
}

// equalMaps is a method of no type parameters, so it compares as text.
func (c *complaints) equalMaps(what string, device, server any) {
	if d, s := fmt.Sprint(device), fmt.Sprint(server); d != s {
		c.add("%s: the device has\n\t%s\nthe server says\n\t%s", what, d, s)
	}
}

// state compares the device's state, event by event. A device that loads
// members lazily may have fewer of them.
func (c *complaints) state(known *view, w word) {
	device := map[string]said{}
	for kind, events := range known.State {
		for k, e := range events {
			device[key(kind.Type, k)] = said{EventID: e.ID, Content: e.Content.VeryRaw}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(w.state)) {
		have, ok := device[k]
		want := w.state[k]
		switch {
		case !ok && known.lazy && want.Type == event.StateMember.Type:
		case !ok:
			c.add("state %s: the device has nothing, the server says %s", k, want.EventID)
		case have.EventID != want.EventID || plain(have.Content) != plain(want.Content):
			c.add("state %s: the device has %s %s, the server says %s %s", k, have.EventID, have.Content, want.EventID, want.Content)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(device)) {
		if _, ok := w.state[k]; !ok {
			c.add("state %s: the device has %s, the server says nothing", k, device[k].EventID)
		}
	}
}

// members compares what the SDK's state store has with /members, and /members
// with /state.
func (c *complaints) members(d *device, known *view, w word) {
	have, err := d.StateStore.GetAllMembers(background, known.ID)
	if err != nil {
		c.add("members: %v", err)
		return
	}
	server := map[string]string{}
	for _, e := range w.members {
		var content event.MemberEventContent
		if err := json.Unmarshal(e.Content, &content); err != nil {
			c.add("/members has %s: %v", e.Content, err)
		}
		if _, ok := have[id.UserID(*e.StateKey)]; known.lazy && !ok {
			continue
		}
		server[*e.StateKey] = fmt.Sprintf("%s %q", content.Membership, content.Displayname)
	}
	device := map[string]string{}
	for u, m := range have {
		device[u.String()] = fmt.Sprintf("%s %q", m.Membership, m.Displayname)
	}
	c.equalMaps("members", device, server)
	for k, e := range w.state {
		if e.Type == event.StateMember.Type && w.members[k].EventID != e.EventID {
			c.add("%s: /members says %q, /state %s", k, w.members[k].EventID, e.EventID)
		}
	}
}

func (c *complaints) powerLevels(d *device, w word) {
	said, ok := w.state[key(event.StatePowerLevels.Type, "")]
	if !ok {
		return
	}
	var want event.PowerLevelsEventContent
	if err := json.Unmarshal(said.Content, &want); err != nil {
		c.add("power levels %s: %v", said.Content, err)
		return
	}
	have, err := d.StateStore.GetPowerLevels(background, w.room)
	if err != nil || have == nil {
		c.add("power levels: the device has none: %v", err)
		return
	}
	a, _ := json.Marshal(have)
	b, _ := json.Marshal(&want)
	c.equal("power levels", plain(a), plain(b))
}

// timeline compares the events that the device has with the last ones that the
// server says. It has all, if nothing lies before those it has.
func (c *complaints) timeline(known *view, w word) {
	have, want := known.ids(), w.messages
	if known.before != "" {
		if len(have) > len(want) {
			c.add("timeline: the device has %d events, the server says there are %d", len(have), len(want))
			return
		}
		want = want[len(want)-len(have):]
	}
	c.equalMaps("timeline", have, want)
}

// summary compares the numbers of members. There are servers that leave them out
// where members are not loaded lazily; a scene of its own tells.
func (c *complaints) summary(known *view, w word) {
	joined, invited := w.sync.Summary.Joined, w.sync.Summary.Invited
	if joined == nil || invited == nil {
		return
	}
	device, server := [2]int{known.joined, known.invited}, [2]int{*joined, *invited}
	c.equal("members by the summary", device, server)
	c.equal("members by the summary and by /members", device,
		[2]int{w.count(event.MembershipJoin), w.count(event.MembershipInvite)})
}

// count is the number of members with a membership.
func (w *word) count(m event.Membership) int {
	n := 0
	for _, e := range w.members {
		var content event.MemberEventContent
		if json.Unmarshal(e.Content, &content) == nil && content.Membership == m {
			n++
		}
	}
	return n
}

func accountData(w word) map[string]string {
	all := map[string]string{}
	for _, e := range w.sync.AccountData.Events {
		all[e.Type] = plain(e.Content)
	}
	return all
}
