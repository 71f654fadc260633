package feed

import (
	"context"

	"parley/internal/subscription"
	"parley/matrix/canonjson"
)

// threadSubscriptions is the name of the extension until its proposal is accepted.
const threadSubscriptions = "io.element.msc4308.thread_subscriptions"

// mostThreadSubscriptions is how many changes an answer has at most, and unless the
// client says otherwise.
const mostThreadSubscriptions = 100

// extendThreads tells which threads the user has come to want to hear of, or has
// ceased to: the last changes. Those before are paged by a route of their own, from
// prev_batch to the pos of the request.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4308
func (a *slidingAnswer) extendThreads(ctx context.Context) error {
	q := &a.req.threads
	if !q.on || !a.subscribed || a.Subscriptions == nil {
		return nil
	}
	list, next, err := a.Subscriptions.Since(ctx, a.req.User, a.since.Pos, a.now.Pos, q.limit)
	if err != nil || len(list) == 0 {
		return err
	}
	told := struct {
		subscription.Listing
		PrevBatch string `json:"prev_batch,omitempty"`
	}{Listing: subscription.List(list)}
	if next != 0 {
		told.PrevBatch = subscription.Token(next)
	}
	json, err := canonjson.Marshal(told)
	if err == nil {
		a.add(threadSubscriptions, json)
	}
	return err
}
