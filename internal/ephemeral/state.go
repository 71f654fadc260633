package ephemeral

import (
	"time"

	"parley/matrix/id"
)

// A State is how reachable a user is, or a device. Of several devices the
// greatest counts.
type State uint8

// The states, from the least on.
const (
	Offline State = iota
	Unavailable
	Online
	Busy
)

// stateNames are the names of the states in the API. The last is one that the
// specification does not have yet.
var stateNames = [...]string{"offline", "unavailable", "online", "org.matrix.msc3026.busy"}

// String returns the name of a state in the API.
func (s State) String() string { return stateNames[s] }

// ParseState returns the state of a name in the API.
func ParseState(name string) (s State, ok bool) {
	for i, n := range stateNames {
		if n == name {
			return State(i), true
		}
	}
	return 0, false
}

// How long it takes until a user is something else who does nothing. The
// specification names the second only; the others are those of the server that
// most clients were written for.
const (
	activeTime = time.Minute      // to be not active at present any more
	idleTime   = 5 * time.Minute  // to be unavailable
	leaveTime  = 30 * time.Second // to be offline, after the last sync
	busyTime   = time.Hour        // to be offline, after the last sync of a busy device
)

// device is what a device has said and done.
type device struct {
	state  State     // that it said last
	active time.Time // when the user did something on it; zero: never
	syncs  int       // how many are under way
	synced time.Time // when the last one ended
}

// at returns the state of a device, and from when on it may be another if
// nothing happens; zero for never.
func (d *device) at(now time.Time) (s State, until time.Time) {
	s = d.state
	if d.syncs == 0 {
		until = d.synced
		if d.active.After(until) {
			until = d.active
		}
		if s == Busy {
			until = until.Add(busyTime)
		} else {
			until = until.Add(leaveTime)
		}
		if !now.Before(until) {
			return Offline, time.Time{}
		}
	}
	if s == Online {
		idle := d.active.Add(idleTime)
		if !now.Before(idle) {
			return Unavailable, until
		}
		until = earlier(until, idle)
	}
	return s, until
}

// earlier returns the earlier of two times, of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// A Status is what can be said of a user's presence.
type Status struct {
	State  State
	Active time.Time // when the user did something; zero: not as far as is known
	// Currently says that this was a moment ago, of somebody who is online.
	Currently bool
	// Message is what the user has to say about it, empty for nothing.
	Message string
}

// status puts together what the devices of a user are, and returns from when on
// it may be something else. Devices that are gone are forgotten.
func (p *person) status(now time.Time) (s Status, until time.Time) {
	if p.report != nil {
		return p.reported(now)
	}
	for name, d := range p.devices {
		state, end := d.at(now)
		if state == Offline && d.syncs == 0 {
			delete(p.devices, name)
			continue
		}
		s.State, until = max(s.State, state), earlier(until, end)
	}
	s.Active, s.Message = p.active(), p.message
	if s.State == Online {
		end := s.Active.Add(activeTime)
		if s.Currently = now.Before(end); s.Currently {
			until = earlier(until, end)
		}
	}
	return s, until
}

// reported is status for a user of another server.
func (p *person) reported(now time.Time) (s Status, until time.Time) {
	s = Status{State: p.report.State, Active: p.active(), Message: p.message}
	if !now.Before(p.report.until) {
		s.State = Offline
	}
	if s.State == Offline {
		return s, time.Time{}
	}
	s.Currently = s.State == Online && p.report.Currently
	return s, p.report.until
}

// device returns a device of the user's, which may be new.
func (p *person) device(name id.DeviceID) *device {
	d := p.devices[name]
	if d == nil {
		d = &device{}
		p.devices[name] = d
	}
	return d
}
