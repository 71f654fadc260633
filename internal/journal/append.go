package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/store"
)

// A Change is what somebody wants to append, with what belongs to it. It is
// called in the transaction that commits it, perhaps more than once, and each
// time must do the same: check that what it was decided on still holds, and
// say to the batch what is to be written. It must be quick, must not wait for
// anything but its queries, and must have no effect outside of the batch.
type Change func(*Batch) error

// groupSize is how many changes are committed together at most. It bounds how
// long the head of the journal is locked.
const groupSize = 256

// request is a change in the pool.
type request struct {
	change Change
	done   chan struct{} // is closed when err and pos are set
	err    error
	pos    Position
}

// Submit hands in a change to be committed with others, and returns a function
// that waits for that. It returns the position of the last entry that is
// visible when the change is, which is at least that of its own entries. An
// error is the change's own, and nothing was written; or it is
// [store.ErrUnknown].
//
// Changes are committed in the order in which they were submitted.
func (j *Journal) Submit(change Change) (wait func() (Position, error)) {
	r := j.submit(change)
	return func() (Position, error) {
		<-r.done
		return r.pos, r.err
	}
}

// Append submits a change and waits. When the context ends first the change
// may still be committed.
func (j *Journal) Append(ctx context.Context, change Change) (Position, error) {
	r := j.submit(change)
	select {
	case <-r.done:
		return r.pos, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (j *Journal) submit(change Change) *request {
	r := &request{change: change, done: make(chan struct{})}
	j.poolMu.Lock()
	defer j.poolMu.Unlock()
	if j.stopped {
		r.err = ErrStopped
		close(r.done)
		return r
	}
	j.pool = append(j.pool, r)
	if j.idle {
		j.idle, j.woken = false, time.Now()
	}
	select {
	case j.wake <- struct{}{}:
	default: // it is awake already
	}
	return r
}

// Run commits what is submitted until the context ends. What was submitted
// before is still committed; what comes later gets ErrStopped.
func (j *Journal) Run(ctx context.Context) {
	for {
		select {
		case <-j.wake:
			j.drain(ctx)
		case <-ctx.Done():
			j.poolMu.Lock()
			j.stopped = true
			j.poolMu.Unlock()
			j.drain(ctx)
			return
		}
	}
}

// drain commits until the pool is empty.
func (j *Journal) drain(ctx context.Context) {
	// The end of the context stops the server; it must not undo what others
	// already wait for.
	ctx = context.WithoutCancel(ctx)
	for {
		group := j.takeGroup()
		if len(group) == 0 {
			return
		}
		j.commit(ctx, group)
	}
}

func (j *Journal) takeGroup() []*request {
	j.poolMu.Lock()
	defer j.poolMu.Unlock()
	if !j.woken.IsZero() {
		j.lag.add(time.Since(j.woken))
		j.woken = time.Time{}
	}
	n := min(len(j.pool), groupSize)
	j.idle = n == 0
	group := j.pool[:n:n]
	j.pool = j.pool[n:]
	return group
}

// commit commits a group. When the group as a whole fails though each of its
// changes was content, the changes are committed one by one, so that only the
// one that is at fault gets the error.
func (j *Journal) commit(ctx context.Context, group []*request) {
	batch, err := j.transact(ctx, group)
	if err != nil && len(group) > 1 && !errors.Is(err, store.ErrUnknown) {
		for _, r := range group {
			j.commit(ctx, []*request{r})
		}
		return
	}
	if err == nil {
		for _, do := range batch.durable {
			do()
		}
		if err = j.publish(ctx, batch.entries, batch.tells); err != nil {
			err = fmt.Errorf("%w: committed, but %w", store.ErrUnknown, err)
		}
		for _, do := range batch.settled {
			do()
		}
	} else if errors.Is(err, store.ErrUnknown) {
		// If it did happen the entries are there, and others may already
		// follow them.
		err = errors.Join(err, j.Refresh(ctx))
	}
	head := j.Head()
	for _, r := range group {
		switch {
		case err != nil:
			// A refusal does not stand either: it may be for what another change
			// of the group was about to do.
			r.err = err
		case r.err == nil:
			r.pos = head
		}
		close(r.done)
	}
	j.tell()
}

// transact runs the changes of a group in one transaction and returns their
// batch. A change that fails has its error in its request. An error is that
// of the group.
func (j *Journal) transact(ctx context.Context, group []*request) (b *Batch, err error) {
	err = j.db.Update(ctx, func(tx *store.Tx) error {
		b = &Batch{tx: tx, memo: make(map[any]any), alone: len(group) == 1}
		// The row stays locked until the transaction ends.
		err := tx.Row("UPDATE journal_head SET pos = pos RETURNING pos").Scan(&b.next)
		if err != nil {
			return fmt.Errorf("locking the head of the journal: %w", err)
		}
		b.next++
		for _, r := range group {
			r.err = b.try(r.change)
			if r.err != nil && tx.Broken() && len(group) > 1 {
				return fmt.Errorf("a change broke its group: %w", r.err)
			}
		}
		if err := b.flush(); err != nil {
			return fmt.Errorf("committing %d changes: %w", len(group), err)
		}
		return nil
	})
	return b, err
}
