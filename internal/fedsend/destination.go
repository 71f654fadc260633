package fedsend

import (
	"context"
	"errors"
	"time"

	"parley/internal/journal"
	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// destination is what a server is owed. It is guarded by the sender's mu.
type destination struct {
	queue []owed // in order
	// behind says that something is owed that is not in the queue: all from next on,
	// to be read from the database.
	behind bool
	next   journal.Position
	// passed is the position of the last event that came while it was behind.
	passed journal.Position
	// expecting says that events are about to be put into the queue.
	expecting bool
	// stored says that the database knows that something is owed, and apart that it
	// may have some of it by itself: events, or messages to devices.
	stored  bool
	apart   bool
	running bool
	waiting *time.Timer // until it is tried again
	refused int         // how often it has refused a transaction, or one could not be made, in a row

	news   news
	due    bool        // the news are to be told
	gather *time.Timer // until they are due
}

// idle reports whether there is nothing to send.
func (d *destination) idle() bool { return len(d.queue) == 0 && !d.behind && !d.due }

// clear reports whether nothing is owed, and nothing about to be.
func (d *destination) clear() bool { return len(d.queue) == 0 && !d.behind && !d.expecting }

// Bounds of a queue and of a transaction.
const (
	mostQueued = 500
	mostPDUs   = 50
	// mostBytes is how many bytes of events go into a transaction, beside the first.
	mostBytes = 2 << 20
	sendTime  = 2 * time.Minute
)

// add puts events into the queue of a server. The caller holds mu.
func (s *Sender) add(server id.ServerName, list []owed) {
	d := s.servers[server]
	if d == nil {
		d = new(destination)
		s.servers[server] = d
	}
	d.stored, d.expecting = true, false
	switch alone := d.waiting != nil || time.Now().Before(s.Remote.Health().Retry(server)); {
	case d.behind:
	case !alone && len(d.queue)+len(list) <= mostQueued:
		d.queue = append(d.queue, list...)
	default: // nothing is kept for one that is left alone
		d.behind, d.next = true, list[0].pos
	}
	d.passed = list[len(list)-1].pos
	s.wake(server)
}

// drop forgets what is in the queue, to be read again. The caller of it holds the
// mu of the sender.
func (d *destination) drop() {
	if len(d.queue) > 0 {
		d.behind, d.next, d.queue = true, d.queue[0].pos, nil
	}
}

// wake has a server sent to, unless it is or has to be left alone. The caller holds
// mu.
func (s *Sender) wake(server id.ServerName) {
	d := s.servers[server]
	if d == nil || d.running || d.waiting != nil || s.ctx == nil || s.ctx.Err() != nil {
		return
	}
	if pause := time.Until(s.Remote.Health().Retry(server)); pause > 0 {
		d.waiting = time.AfterFunc(pause, func() { s.retry(server) })
		return
	}
	d.running = true
	s.sending.Go(func() { s.send(s.ctx, server, d) })
}

// retry goes on with a server that was left alone.
func (s *Sender) retry(server id.ServerName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.servers[server]; d != nil && d.waiting != nil {
		d.waiting.Stop()
		d.waiting = nil
		s.wake(server)
	}
}

// back is called when a server is heard of that could not be reached.
func (s *Sender) back(server id.ServerName) { go s.retry(server) }

// send sends what a server is owed, and what there is to tell, until that is
// nothing, or the server cannot be reached.
func (s *Sender) send(ctx context.Context, server id.ServerName, d *destination) {
	for {
		batch, edus, err := s.batch(ctx, server, d)
		if err == nil && len(batch)+len(edus) > 0 {
			err = s.transaction(ctx, server, batch, edus)
		}
		s.mu.Lock()
		if err != nil && ctx.Err() == nil && !errors.Is(err, remote.ErrDown) {
			s.Log.Debug("a transaction was not taken", "server", server, "err", err)
		}
		if err == nil && d.stored {
			s.sent(server, d, batch)
		}
		if err != nil || d.idle() {
			d.running = false
			if err != nil {
				d.news, d.due = news{}, false
				d.drop()
			}
			if err != nil && !d.clear() {
				s.pause(server, d)
			}
			s.dismiss(server, d)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

// For how long a server is left alone that takes requests, and not this one: twice
// as long after each refusal, but it is there, and may take the next one any time.
const (
	leastPause  = 5 * time.Second
	longerPause = 5 * time.Minute
)

// pause goes on with a server later. The caller holds mu.
func (s *Sender) pause(server id.ServerName, d *destination) {
	pause := time.Until(s.Remote.Health().Retry(server))
	if pause <= 0 {
		pause = min(leastPause<<min(d.refused, 10), longerPause)
		d.refused++
	}
	d.waiting = time.AfterFunc(pause, func() { s.retry(server) })
}

// batch returns what goes into the next transaction to a server.
func (s *Sender) batch(ctx context.Context, server id.ServerName, d *destination) (batch []owed, edus []canonjson.Value, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(d.queue) == 0 && d.behind {
		from, to, down := d.next, s.reached, !s.Remote.Health().Retry(server).IsZero()
		s.mu.Unlock()
		var list []owed
		var next journal.Position
		var more bool
		var err error
		if down {
			err = s.probe(ctx, server)
		}
		if err == nil {
			list, next, more, err = s.read(ctx, server, from, to)
		}
		s.mu.Lock()
		if err != nil {
			return nil, nil, err
		}
		// What came meanwhile was not put into the queue.
		d.queue, d.next, d.behind = list, next, more || d.passed >= next
	}
	size := 0
	pdus, kept := 0, 0
	for _, o := range d.queue {
		size += len(o.json)
		if o.edu && kept == mostEDUs || !o.edu && pdus == mostPDUs || len(batch) > 0 && size > mostBytes {
			break
		}
		if batch = append(batch, o); o.edu {
			kept++
		} else {
			pdus++
		}
	}
	edus = d.news.take(time.Now(), mostEDUs-kept)
	d.due = !d.news.empty()
	return batch, edus, nil
}

// sent takes note of what a server has got. The caller holds mu.
func (s *Sender) sent(server id.ServerName, d *destination, batch []owed) {
	d.refused = 0
	d.queue = d.queue[len(batch):]
	if d.clear() {
		d.stored = false
	}
	s.settled[server] = s.settled[server] || d.apart
	d.apart = d.apart && !d.clear()
}

// transaction sends one transaction. What the other server thinks of single events
// is its own affair.
func (s *Sender) transaction(ctx context.Context, server id.ServerName, batch []owed, edus []canonjson.Value) error {
	body := []byte(`{"edus":[`)
	// What has to be known before what comes after it goes first.
	body = appendList(body, batch, true)
	for _, edu := range edus {
		if body[len(body)-1] != '[' {
			body = append(body, ',')
		}
		body = append(body, edu...)
	}
	body = append(body, `],"origin":`...)
	body = canonjson.AppendString(body, string(s.Server))
	body = append(body, `,"origin_server_ts":`...)
	body = append(body, canonjson.Integer(time.Now().UnixMilli())...)
	body = append(body, `,"pdus":[`...)
	body = append(appendList(body, batch, false), "]}"...)
	_, err := s.Remote.Do(ctx, remote.Call{
		Server: server, Method: "PUT", Path: remote.Path("/_matrix/federation/v1/send", s.txnID()), Body: body, Timeout: sendTime,
	})
	return err
}

// appendList appends the EDUs of a batch, or the events.
func appendList(dst []byte, batch []owed, edus bool) []byte {
	first := true
	for _, o := range batch {
		if o.edu != edus {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		dst, first = append(dst, o.json...), false
	}
	return dst
}
