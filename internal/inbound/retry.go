package inbound

import (
	"context"
	"time"

	"parley/matrix/id"
)

// A failure is that a server's first event in a queue could not be received.
type failure struct {
	tries int
	since time.Time
	until time.Time // when it is tried again
}

// How what cannot be fetched is tried again. Where whoever answers does not have it,
// it is given up soon; where nobody answers, they may have it when they are back. Then
// it is tried after pauses that grow, and as soon as its server is heard of.
const (
	mostTries   = 5
	retryPause  = 3 * time.Second
	longestRest = 10 * time.Minute
	// silence is after how long an event is given up that nobody answers for: longer than
	// a server that is back may be left alone. It still comes when something follows it.
	silence = 6 * time.Hour
)

// again reports whether an event that could not be received is to be tried once more,
// and notes when.
func (q *queue) again(s staged, silent bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	f, failed := q.failing[s.origin]
	if !failed {
		f.since = now
	}
	f.tries++
	pause := retryPause
	if silent {
		pause = min(retryPause<<min(f.tries-1, 10), longestRest)
	}
	f.until = now.Add(pause)
	q.failing[s.origin] = f
	if silent {
		return now.Sub(f.since) < silence
	}
	return f.tries < mostTries
}

// failures returns the servers that fail, and those of them that are not to be tried
// yet. The caller holds the queue's lock.
func (q *queue) failures(now time.Time) (failing, waiting []id.ServerName) {
	failing, waiting = []id.ServerName{}, []id.ServerName{} // as lists of a query
	for server, f := range q.failing {
		failing = append(failing, server)
		if f.until.After(now) {
			waiting = append(waiting, server)
		}
	}
	return failing, waiting
}

// rest ends the work on a queue until the first of its failures is over. The caller
// holds its lock.
func (x *Inbox) rest(q *queue) {
	q.running = false
	var origin id.ServerName
	var next time.Time
	for server, f := range q.failing {
		if next.IsZero() || f.until.Before(next) {
			origin, next = server, f.until
		}
	}
	q.alarm = time.AfterFunc(time.Until(next), func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if !q.gone {
			x.wake(q, origin)
		}
	})
}

// quiet ends the waiting for a failure to be over. The caller holds the queue's lock.
func (q *queue) quiet() {
	if q.alarm != nil {
		q.alarm.Stop()
		q.alarm = nil
	}
}

// Back says that a server was heard of that could not be reached. It does not block.
func (x *Inbox) Back(server id.ServerName) {
	x.mu.Lock()
	x.back = append(x.back, server)
	x.mu.Unlock()
	select {
	case x.heard <- struct{}{}:
	default: // somebody will look at all of them
	}
}

// listen has events of servers that are back tried at once, until the context ends.
func (x *Inbox) listen(ctx context.Context) {
	for {
		select {
		case <-x.heard:
		case <-ctx.Done():
			return
		}
		x.mu.Lock()
		back := x.back
		x.back = nil
		queues := make([]*queue, 0, len(x.queues))
		for _, q := range x.queues {
			queues = append(queues, q)
		}
		x.mu.Unlock()
		for _, q := range queues {
			x.retry(q, back)
		}
	}
}

// retry has a queue worked on if what is next of one of some servers has failed.
func (x *Inbox) retry(q *queue, servers []id.ServerName) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, server := range servers {
		f, failed := q.failing[server]
		if !failed || q.gone {
			continue
		}
		f.until = time.Time{}
		q.failing[server] = f
		x.wake(q, server)
	}
}
