package room

import (
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store/storetest"
	"parley/matrix/event"
	"parley/matrix/id"
)

// TestWhatIsAllowedIsLaterThanWhatAllowsIt: in the bubble no time passes while
// events are made.
func TestWhatIsAllowedIsLaterThanWhatAllowsIt(t *testing.T) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		n := start(t, storetest.Open(t, location), Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		n.send(roomID, join(bob))
		n.send(roomID, member(bob, bob, event.MembershipLeave))
		n.send(roomID, member(alice, bob, event.MembershipInvite))
		n.send(roomID, join(bob))
		times := make(map[id.EventID]int64)
		for _, e := range n.history(roomID) {
			times[e.ID()] = e.OriginServerTS()
			for _, a := range e.AuthEvents() {
				if times[a] >= e.OriginServerTS() {
					t.Errorf("%s is not later than %s, which allows it", e.JSON(), a)
				}
			}
		}
		now := time.Now().UnixMilli()
		if e := n.eventByID(roomID, n.send(roomID, message(alice, "hello")).EventID); e.OriginServerTS() != now {
			t.Errorf("a message is of %d, want %d", e.OriginServerTS(), now)
		}
		n.db.Close()
	})
}

func TestAClockThatIsFarAheadIsNotFollowed(t *testing.T) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		n := start(t, storetest.Open(t, location), Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		for i, row := range []struct{ ahead, want time.Duration }{
			{5 * time.Minute, 5*time.Minute + time.Millisecond}, {24 * time.Hour, 0},
		} {
			time.Sleep(time.Second) // until the room is older than now
			now := time.Now()
			levels := state(alice, event.TypePowerLevels, "", fmt.Sprintf(`{"events_default":%d}`, i))
			levels.Time = now.Add(row.ahead).UnixMilli()
			n.send(roomID, levels)
			topic := n.eventByID(roomID, n.send(roomID, state(alice, "m.room.topic", "", `{"topic":"`+row.ahead.String()+`"}`)).EventID)
			if got := time.UnixMilli(topic.OriginServerTS()).Sub(now.Truncate(time.Millisecond)); got != row.want {
				t.Errorf("after levels from %v ahead the topic is from %v ahead, want %v", row.ahead, got, row.want)
			}
		}
		n.db.Close()
	})
}

// TestAnEventOfATemplateIsNotBeforeIt: who made the template knows what allows the event.
func TestAnEventOfATemplateIsNotBeforeIt(t *testing.T) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		n := start(t, storetest.Open(t, location), Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		template, err := n.Template(ctx, roomID, "@carol:c.test", event.MembershipJoin, nil)
		if err != nil {
			t.Fatal(err)
		}
		from, _ := template.Event.Get("origin_server_ts").Int()
		for _, e := range n.history(roomID) {
			for a := range template.Event.Get("auth_events").Elements() {
				if a.Is(string(e.ID())) && e.OriginServerTS() >= from {
					t.Errorf("the template is from %d, and %s", from, e.JSON())
				}
			}
		}
		n.db.Close()
	})
}
