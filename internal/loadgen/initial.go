package loadgen

import (
	"context"
	"fmt"
	"time"
)

// Initial is how a client starts that knows nothing.
type Initial struct {
	Rooms    int // which the user is in
	Members  int // of each room, the user included
	Messages int // in each room
	Repeats  int // of the sync
}

func (o Initial) check() error {
	return firstError(
		within("the number of rooms", o.Rooms, 1, 100_000),
		within("the number of members", o.Members, 1, 10_000),
		within("the number of messages", o.Messages, 0, 10_000),
		within("the number of repeats", o.Repeats, 1, 10_000),
		within("the number of memberships and messages altogether", o.Rooms*(o.Members+o.Messages), 1, 5_000_000),
	)
}

// Initial measures the first sync of a user, with all members of the rooms and
// with lazily loaded ones.
func (g *Generator) Initial(ctx context.Context, o Initial) ([]Row, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	users, err := g.newUsers(ctx, 1) // who is in no other room
	if err != nil {
		return nil, err
	}
	user := users[0]
	others, err := g.users(ctx, o.Members-1)
	if err != nil {
		return nil, err
	}
	rooms, err := g.createRooms(ctx, user, o.Rooms)
	if err != nil {
		return nil, err
	}
	if err := g.join(ctx, spread(others, rooms, len(rooms))); err != nil {
		return nil, err
	}
	if err := g.say(ctx, user, rooms, o.Messages); err != nil {
		return nil, err
	}
	var rows []Row
	for _, way := range []struct{ name, filter string }{{"all members", fullFilter}, {"lazy members", lazyFilter}} {
		row := Row{Scenario: "initial", Case: fmt.Sprintf("%s of %s, %s, %s",
			count(o.Rooms, "room"), count(o.Members, "member"), count(o.Messages, "message"), way.name)}
		if err := g.firstSyncs(ctx, &row, user, way.filter, o.Repeats); err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// say sends so many messages into each room.
func (g *Generator) say(ctx context.Context, user account, rooms []string, n int) error {
	if n > 0 {
		g.o.Progress("sending %d messages", n*len(rooms))
	}
	return g.each(ctx, n*len(rooms), func(ctx context.Context, c *client, i int) error {
		return call{
			method: "PUT", token: user.Token,
			path: path("/_matrix/client/v3/rooms/%s/send/m.room.message/%s",
				rooms[i%len(rooms)], fmt.Sprintf("bench-%s-%d", g.run, i)),
			body: map[string]string{"msgtype": "m.text", "body": fmt.Sprintf("message %d of an ordinary length", i)},
		}.do(ctx, c)
	})
}

func (g *Generator) firstSyncs(ctx context.Context, row *Row, user account, filter string, repeats int) error {
	g.o.Progress("%s: %s", row.Scenario, row.Case)
	c := newClient(g.o.Target)
	defer c.hangUp()
	var latency Histogram
	var f faults
	m, err := g.measure()
	if err != nil {
		return err
	}
	for n := range repeats {
		// The timeout changes nothing about the answer, but it differs, so that
		// no answer to an earlier request is given again.
		path := syncPath(filter, time.Duration(n)*time.Millisecond)
		r, err := f.insist(ctx, c, []byte(g.o.Target.head("GET", path, user.Token, -1)), &latency)
		if err != nil {
			return err
		}
		if _, found := nextBatch(r.body); !found {
			return errNoToken
		}
		row.Bytes = int64(len(r.body))
	}
	if err := m.stop(row); err != nil {
		return err
	}
	row.count(&latency)
	row.note("each response is %s", bytesOf(row.Bytes))
	f.tell(row)
	return nil
}
