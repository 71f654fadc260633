package loadgen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
)

// Sliding is how sliding sync is measured, of an account in many rooms. As for [Push]
// the generator starts the server.
type Sliding struct {
	Own
	Rooms  []int // of the account
	Starts int   // of the server, after each of which a first window is asked for
	Warm   int   // first windows that are asked for one after the other
	Idle   int   // requests to which there is nothing to say
}

func (o Sliding) check() error {
	all := []error{
		o.Own.check(),
		within("the number of starts", o.Starts, 1, 1000),
		within("the number of first windows", o.Warm, 1, 1_000_000),
		within("the number of requests without news", o.Idle, 1, 10_000_000),
	}
	for _, n := range o.Rooms {
		all = append(all, within("the number of rooms", n, windowRooms, 100_000))
	}
	return firstError(all...)
}

// windowRooms is how many rooms a first window has.
const windowRooms = 20

// slidingBody is what a client on a phone asks for to show its list of rooms, about
// as Element X does.
const slidingBody = `{"conn_id":%q,"lists":{"all_rooms":{"ranges":[[0,19]],"timeline_limit":1,` +
	`"filters":{"not_room_types":["m.space"]},"required_state":[["m.room.name",""],["m.room.encryption",""],["m.room.member","$LAZY"],["m.room.member","$ME"],` +
	`["m.room.topic",""],["m.room.avatar",""],["m.room.canonical_alias",""],["m.room.power_levels",""],["org.matrix.msc3401.call.member","*"],` +
	`["m.room.join_rules",""],["m.room.tombstone",""],["m.room.create",""],["m.room.history_visibility",""],["io.element.functional_members",""],` +
	`["m.space.parent","*"],["m.space.child","*"],["m.room.pinned_events",""]]}},` +
	`"extensions":{"account_data":{"enabled":true},"receipts":{"enabled":true},"typing":{"enabled":true}}}`

// slider is a client with sliding sync.
type slider struct {
	*measured
	o       Sliding
	rooms   int
	user    account
	client  *client
	faults  faults
	windows int // connections that were begun
}

// Sliding measures the first window of an account in many rooms, right after a start
// of the server and later, and requests to which there is nothing to say. Together
// with an error it returns the rows it has.
func (g *Generator) Sliding(ctx context.Context, o Sliding) (rows []Row, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	m, err := startMeasured(ctx, o.Own, g.o.Progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.end()) }()
	for _, n := range o.Rooms {
		more, err := (&slider{measured: m, o: o, rooms: n, client: newClient(m.target)}).run(ctx)
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func (s *slider) run(ctx context.Context) (rows []Row, err error) {
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	defer func() { s.client.hangUp() }()
	for _, part := range []func(context.Context) (Row, error){s.cold, s.warm, s.idle} {
		row, err := part(ctx)
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// settle has a new account join its rooms.
func (s *slider) settle(ctx context.Context) error {
	users, err := s.g.newUsers(ctx, 2)
	if err != nil {
		return err
	}
	rooms, err := s.g.createRooms(ctx, users[1], s.rooms)
	if err != nil {
		return err
	}
	s.user = users[0]
	return s.g.join(ctx, spread(users[:1], rooms, len(rooms)))
}

// row begins a row.
func (s *slider) row(what string) Row {
	row := Row{Scenario: "sliding", Case: fmt.Sprintf("%s, %s", count(s.rooms, "room"), what)}
	s.progress("%s: %s", row.Scenario, row.Case)
	return row
}

// reconnect connects to a server that was started anew: its port is another one.
func (s *slider) reconnect() {
	s.client.hangUp()
	s.client = newClient(s.target)
}

// request asks for the window on a connection, from a pos on.
func (s *slider) request(conn, pos string) []byte {
	body := fmt.Sprintf(slidingBody, conn)
	target := "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0"
	if pos != "" {
		target += "&pos=" + url.QueryEscape(pos)
	}
	return append([]byte(s.target.head("POST", target, s.user.Token, len(body))), body...)
}

// first begins a connection, and returns its pos.
func (s *slider) first(ctx context.Context, latency *Histogram, row *Row) (conn, pos string, err error) {
	s.windows++
	conn = fmt.Sprint("window", s.windows)
	r, err := s.faults.insist(ctx, s.client, s.request(conn, ""), latency)
	if err != nil {
		return "", "", err
	}
	pos, ok := textOf(r.body, `"pos"`)
	if n := bytes.Count(r.body, []byte(`"initial":true`)); !ok || n != windowRooms {
		return "", "", fmt.Errorf("the first window has %d rooms: %.300s", n, r.body)
	}
	row.Bytes = int64(len(r.body))
	return conn, pos, nil
}

// cold asks for the first window after each of some starts of the server.
func (s *slider) cold(ctx context.Context) (Row, error) {
	row := s.row("the first window after a start")
	var latency Histogram
	var seconds, processor float64
	var asked int64
	for range s.o.Starts {
		if err := s.again(ctx); err != nil {
			return row, err
		}
		if err := s.rest(ctx); err != nil {
			return row, err
		}
		s.reconnect()
		before, err := s.statements(ctx)
		if err != nil {
			return row, err
		}
		meter, err := s.g.measure()
		if err != nil {
			return row, err
		}
		if _, _, err := s.first(ctx, &latency, &row); err != nil {
			return row, err
		}
		if err := meter.stop(&row); err != nil {
			return row, err
		}
		after, err := s.statements(ctx)
		if err != nil {
			return row, err
		}
		asked += after - before
		seconds += row.Seconds
		if row.Server != nil {
			processor += row.Server.Cores * row.Seconds
		}
	}
	if row.Seconds = seconds; row.Server != nil {
		row.Server.Cores = processor / seconds
	}
	row.count(&latency)
	row.spent("window")
	s.tell(&row, asked/int64(s.o.Starts))
	return row, nil
}

// many measures requests one after the other, and how many statements they need.
func (s *slider) many(ctx context.Context, what string, times int, each string, do func(latency *Histogram, row *Row) error) (Row, error) {
	row := s.row(what)
	if err := s.rest(ctx); err != nil {
		return row, err
	}
	before, err := s.statements(ctx)
	if err != nil {
		return row, err
	}
	var latency Histogram
	meter, err := s.g.measure()
	if err != nil {
		return row, err
	}
	for range times {
		if err := do(&latency, &row); err != nil {
			return row, err
		}
	}
	if err := meter.stop(&row); err != nil {
		return row, err
	}
	after, err := s.statements(ctx)
	if err != nil {
		return row, err
	}
	row.count(&latency)
	row.spent(each)
	s.tell(&row, (after-before)/int64(times))
	return row, nil
}

// tell writes into a row how many statements each request took, how long the last
// response was, and what failed.
func (s *slider) tell(row *Row, statements int64) {
	row.note("%s statements to the database for each", digits(statements))
	row.note("a response is %s", bytesOf(row.Bytes))
	s.faults.tell(row)
	s.faults = faults{}
}

func (s *slider) warm(ctx context.Context) (Row, error) {
	return s.many(ctx, "the first window", s.o.Warm, "window", func(latency *Histogram, row *Row) error {
		_, _, err := s.first(ctx, latency, row)
		return err
	})
}

func (s *slider) idle(ctx context.Context) (Row, error) {
	var untimed Histogram
	var first Row
	conn, pos, err := s.first(ctx, &untimed, &first)
	if err != nil {
		return first, err
	}
	return s.many(ctx, "nothing new", s.o.Idle, "request", func(latency *Histogram, row *Row) error {
		r, err := s.faults.insist(ctx, s.client, s.request(conn, pos), latency)
		if err != nil {
			return err
		}
		var ok bool
		if pos, ok = textOf(r.body, `"pos"`); !ok {
			return fmt.Errorf("a response has no pos: %.300s", r.body)
		}
		row.Bytes = int64(len(r.body))
		return nil
	})
}
