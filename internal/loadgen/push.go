package loadgen

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Push is how messages reach push gateways. As for [Federation] the generator starts
// the server, and it is the gateways.
type Push struct {
	Own
	Members  []int // of the room, each of whom has a pusher
	Messages int
	Grace    time.Duration // how long after a message its pushes may come
}

func (o Push) check() error {
	all := []error{
		o.Own.check(),
		within("the number of messages", o.Messages, 1, 10_000),
		within("the time for late pushes", o.Grace, time.Millisecond, 10*time.Minute),
	}
	for _, n := range o.Members {
		all = append(all, within("the number of members", n, 1, 20_000))
	}
	return firstError(all...)
}

// gateways are two push gateways: one that takes what it is told, and one that
// never answers.
type gateways struct {
	takes, hangs net.Listener
	servers      []*http.Server
	authority    []byte // who vouches for their certificates, in PEM
	heard        atomic.Pointer[func(pusher int, body []byte, at time.Time)]
	ended        chan struct{}
}

func openGateways() (*gateways, error) {
	address := net.IPv4(127, 0, 0, 1)
	certificate, authority, err := throwAway(address)
	if err != nil {
		return nil, err
	}
	g := &gateways{authority: authority, ended: make(chan struct{})}
	serve := func(h http.HandlerFunc) (net.Listener, error) {
		l, err := net.Listen("tcp", net.JoinHostPort(address.String(), "0"))
		if err != nil {
			return nil, fmt.Errorf("listening as a push gateway: %w", err)
		}
		server := &http.Server{
			Handler: h, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
		}
		g.servers = append(g.servers, server)
		go server.ServeTLS(l, "", "") // ends with close
		return l, nil
	}
	if g.takes, err = serve(g.take); err == nil {
		g.hangs, err = serve(g.hang)
	}
	if err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

func (g *gateways) close() {
	close(g.ended)
	for _, s := range g.servers {
		s.Close()
	}
}

// take answers a push, and tells of it if it is of an event.
func (g *gateways) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	at := time.Now()
	heard := g.heard.Load()
	_, key, ok := bytes.Cut(body, []byte(`"pushkey":"`))
	if err == nil && ok && heard != nil {
		if end := bytes.IndexByte(key, '"'); end > 0 {
			if n, err := strconv.Atoi(string(key[:end])); err == nil {
				(*heard)(n, body, at)
			}
		}
	}
	io.WriteString(w, `{"rejected":[]}`)
}

func (g *gateways) hang(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-g.ended:
	}
}

// pusher has an account notified at one of the gateways.
func (m *measured) pusher(ctx context.Context, c *client, a account, number int, at net.Listener) error {
	return call{method: "POST", path: "/_matrix/client/v3/pushers/set", token: a.Token, body: map[string]any{
		"kind": "http", "app_id": "bench", "pushkey": strconv.Itoa(number), "app_display_name": "bench", "device_display_name": "bench", "lang": "en",
		"append": true, "data": map[string]string{"url": "https://" + at.Addr().String() + "/_matrix/push/v1/notify"},
	}}.do(ctx, c)
}

// Push measures how long it takes until what notifies all members of a room was pushed
// to them: by itself, and while every second pusher has a gateway that never answers.
// Together with an error it returns the rows it has.
func (g *Generator) Push(ctx context.Context, o Push) (rows []Row, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	all, err := openGateways()
	if err != nil {
		return nil, err
	}
	defer all.close()
	m, err := newMeasured(o.Own, all.authority, g.o.Progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.end()) }()
	// The system's authorities are replaced for this process.
	m.settings = append(m.settings, "SSL_CERT_FILE="+m.authorityFile(), "PARLEY_OUTBOUND_ALLOW_PRIVATE_NETWORKS=true")
	if err := m.start(ctx); err != nil {
		return nil, err
	}
	for _, n := range o.Members {
		more, err := m.pushes(ctx, o, all, n)
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// pushes measures a room of so many members.
func (m *measured) pushes(ctx context.Context, o Push, all *gateways, members int) ([]Row, error) {
	users, err := m.g.newUsers(ctx, 1+members)
	if err != nil {
		return nil, err
	}
	rooms, err := m.g.createRooms(ctx, users[0], 1)
	if err != nil {
		return nil, err
	}
	readers := users[1:]
	if err := m.g.join(ctx, spread(readers, rooms, 1)); err != nil {
		return nil, err
	}
	err = m.g.each(ctx, members, func(ctx context.Context, c *client, i int) error { return m.pusher(ctx, c, readers[i], i, all.takes) })
	if err != nil {
		return nil, err
	}
	well, err := m.pushed(ctx, o, all, users[0], rooms, members, "a message for "+count(members, "pusher"))
	if err != nil {
		return nil, err
	}
	err = m.g.each(ctx, members, func(ctx context.Context, c *client, i int) error {
		return m.pusher(ctx, c, readers[i], members+i, all.hangs)
	})
	if err != nil {
		return []Row{well}, err
	}
	badly, err := m.pushed(ctx, o, all, users[0], rooms, members, fmt.Sprintf("the same beside %d whose gateway hangs", members))
	return []Row{well, badly}, err
}

// pushed sends messages, each when the one before was pushed to everybody.
func (m *measured) pushed(ctx context.Context, o Push, all *gateways, speaker account, rooms []string, members int, what string) (Row, error) {
	row := Row{Scenario: "push", Case: what}
	m.progress("%s: %s", row.Scenario, row.Case)
	mark := m.g.newMark()
	d := newDeliveries(mark, members, int64(1+o.Messages), 1)
	hear := func(pusher int, body []byte, at time.Time) {
		if pusher < members {
			d.hear(pusher, body, at)
		}
	}
	all.heard.Store(&hear)
	defer all.heard.Store(nil)
	s := m.g.newSender(speaker, rooms, mark, 0, 100)
	defer s.client.hangUp()
	if err := d.warmUp(ctx, s, int64(members), o.Grace); err != nil {
		return row, err
	}
	before, err := m.statements(ctx)
	if err != nil {
		return row, err
	}
	meter, err := m.g.measure()
	if err != nil {
		return row, err
	}
	for i := range o.Messages {
		serial := int64(1 + i)
		d.send(serial)
		if err := s.insist(ctx, 0, serial); err != nil {
			return row, err
		}
		if _, err := d.await(ctx, int64(members)*(serial+1), o.Grace); err != nil {
			return row, err
		}
	}
	if err := meter.stop(&row); err != nil {
		return row, err
	}
	after, err := m.statements(ctx)
	if err != nil {
		return row, err
	}
	row.count(&d.latency)
	row.Missed, row.Twice = int64(members)*int64(1+o.Messages)-d.total.Load(), d.twice.Load()
	row.note("until a push arrives; %s statements to the database for each message", digits((after-before)/int64(o.Messages)))
	return row, nil
}
