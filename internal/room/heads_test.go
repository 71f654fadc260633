package room

import (
	"slices"
	"testing"
	"time"

	"parley/matrix/event"
	"parley/matrix/stateres"
)

func TestOfManyHeadsTheLastAndTheOldestAreFollowed(t *testing.T) {
	for _, tt := range []struct {
		heads           int
		follows, beside []stateres.Num
	}{
		{1, []stateres.Num{1}, nil},
		{20, numsTo(1, 20), nil},
		{21, append(numsTo(1, 10), numsTo(12, 21)...), []stateres.Num{11}},
		{50, append(numsTo(1, 10), numsTo(41, 50)...), numsTo(11, 40)},
	} {
		r := &live{row: record{head: numsTo(1, tt.heads)}, head: make([]*event.Event, tt.heads)}
		for i := range r.head {
			r.head[i] = new(event.Event)
		}
		all := slices.Clone(r.head)
		nums, others, events, rest := r.heads()
		if !slices.Equal(nums, tt.follows) || !slices.Equal(others, tt.beside) {
			t.Errorf("of %d heads %v are followed, %v not", tt.heads, nums, others)
		}
		for i, n := range append(slices.Clone(nums), others...) {
			if append(slices.Clone(events), rest...)[i] != all[n-1] {
				t.Errorf("of %d heads number %d goes with another event", tt.heads, n)
			}
		}
	}
}

func numsTo(from, to int) (nums []stateres.Num) {
	for n := from; n <= to; n++ {
		nums = append(nums, stateres.Num(n))
	}
	return nums
}

func TestACrowdedRoomIsMergedSoonAndOthersAtTimes(t *testing.T) {
	c := newCrowds()
	c.note("!few:a.test", manyHeads)
	if _, wait := c.next(); wait < time.Hour {
		t.Errorf("a room with few heads is due in %s", wait)
	}
	c.note("!many:a.test", manyHeads+1)
	if room, wait := c.next(); room != "" || wait < leastWait-time.Second || wait > mostWait {
		t.Errorf("a room with many heads is due in %s", wait)
	}
	c.note("!many:a.test", crowdedHeads+1)
	if room, wait := c.next(); room != "" || wait > time.Second {
		t.Errorf("a crowded room is due in %s", wait)
	}
	c.mu.Lock()
	c.due["!many:a.test"] = time.Now()
	c.mu.Unlock()
	if room, _ := c.next(); room != "!many:a.test" {
		t.Errorf("what is due is %q", room)
	}
	c.note("!many:a.test", manyHeads+1) // again
	if room, wait := c.next(); room != "" || wait < mergePause-time.Second {
		t.Errorf("a room that was just merged is due in %s", wait)
	}
}
