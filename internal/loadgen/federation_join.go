package loadgen

import (
	"context"
	"fmt"
	"time"
)

// joinServers is how many servers the members of a room are of that is joined.
const joinServers = 10

// joins measures how long it takes to join a room with many members who are not
// known yet: until it is of use, and until all of them are known. Some servers tell
// of the members when they are asked, others hand over all at once.
func (a *among) joins(ctx context.Context) error {
	for _, members := range a.o.Joins {
		for _, way := range []string{"told later", "handed over"} {
			usable, err := a.begin(ctx, "join", "%s %s: usable", count(members, "member"), way)
			if err != nil {
				return err
			}
			whole := Row{Scenario: usable.Scenario, Case: fmt.Sprintf("%s %s: whole", count(members, "member"), way)}
			f, err := a.room(members, a.names[:joinServers])
			if err != nil {
				return err
			}
			f.whole = way == "handed over"
			if err := a.joinAndLook(ctx, f, usable, &whole); err != nil {
				return err
			}
			a.rows = append(a.rows, *usable, whole)
		}
	}
	return nil
}

// joinAndLook joins a room, speaks, looks, and asks for everybody.
func (a *among) joinAndLook(ctx context.Context, f *farRoom, usable, whole *Row) error {
	var latency, all Histogram
	m, err := a.g.measure()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := a.join(ctx, f); err != nil {
		return err
	}
	in := time.Since(began)
	if _, err := a.say(ctx, f, "hello", "hello"); err != nil {
		return err
	}
	spoken := time.Since(began)
	var sync struct {
		Rooms struct {
			Join map[string]any
		}
	}
	if err := a.do(ctx, "GET", syncPath(lazyFilter, 0), nil, &sync); err != nil {
		return err
	}
	if sync.Rooms.Join[string(f.id)] == nil {
		usable.Missed++
		usable.note("the first /sync does not have the room")
	}
	if err := m.stop(usable); err != nil {
		return err
	}
	usable.took(&latency, time.Since(began))
	usable.note("joined after %s ms, spoken after %s ms", millis(float64(in)/1e6), millis(float64(spoken)/1e6))
	if err := a.whole(ctx, f); err != nil {
		return err
	}
	if err := m.stop(whole); err != nil {
		return err
	}
	whole.took(&all, time.Since(began))
	most, files := a.resident()
	whole.note("at most %s were resident, %s of it pages of files in the end", bytesOf(most), bytesOf(files))
	return nil
}
