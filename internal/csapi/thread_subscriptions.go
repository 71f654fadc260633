package csapi

import (
	"context"
	"errors"

	"parley/internal/endpoint"
	"parley/internal/feed"
	"parley/internal/journal"
	"parley/internal/subscription"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Subscriptions to threads, under the names that they have until the proposals are
// accepted: https://github.com/matrix-org/matrix-spec-proposals/pull/4306 and 4308.
func (s *Server) threadSubscriptionRoutes() []endpoint.Route {
	read := endpoint.Policy{Auth: endpoint.User, Class: classRead}
	write := endpoint.Policy{Auth: endpoint.User, Class: classWrite}
	const one = " /_matrix/client/unstable/io.element.msc4306/rooms/{roomID}/thread/{eventID}/subscription"
	return []endpoint.Route{
		endpoint.On("GET"+one, read, s.threadSubscription),
		endpoint.On("PUT"+one, write, s.subscribeThread),
		endpoint.On("DELETE"+one, write, s.unsubscribeThread),
		endpoint.On("GET /_matrix/client/unstable/io.element.msc4308/thread_subscriptions", read, s.threadSubscriptions),
	}
}

const notInThread mxerr.Code = "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD"

type threadRequest struct {
	RoomID  id.RoomID  `path:"roomID"`
	EventID id.EventID `path:"eventID"`
}

// thread returns the thread of a request. What is itself said in a thread begins none.
func (s *Server) thread(ctx context.Context, c endpoint.Caller, req threadRequest) (subscription.Thread, error) {
	_, it, err := s.seenEvent(ctx, c, req.RoomID, req.EventID)
	if err == nil && it.Thread != "" {
		err = mxerr.New(mxerr.NotFound, "No thread begins with event %s", req.EventID)
	}
	return subscription.Thread{Room: req.RoomID, Root: req.EventID}, err
}

type subscriptionView struct {
	Automatic bool `json:"automatic"`
}

func (s *Server) threadSubscription(ctx context.Context, c endpoint.Caller, req threadRequest) (subscriptionView, error) {
	t, err := s.thread(ctx, c, req)
	if err != nil {
		return subscriptionView{}, err
	}
	change, err := s.Subscriptions.Get(ctx, c.UserID, t)
	return subscriptionView{change.Automatic}, err
}

type subscribeRequest struct {
	threadRequest
	Automatic *id.EventID `json:"automatic"`
}

func (s *Server) subscribeThread(ctx context.Context, c endpoint.Caller, req subscribeRequest) (endpoint.Empty, error) {
	t, err := s.thread(ctx, c, req.threadRequest)
	if err != nil {
		return endpoint.Empty{}, err
	}
	cause, err := s.cause(ctx, c, t, req.Automatic)
	if err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Subscriptions.Subscribe(ctx, c.UserID, t, cause)
}

// cause returns the position of the event of a thread because of which a client
// subscribes, nil if the user does.
func (s *Server) cause(ctx context.Context, c endpoint.Caller, t subscription.Thread, automatic *id.EventID) (*journal.Position, error) {
	if automatic == nil {
		return nil, nil
	}
	_, it, err := s.seenEvent(ctx, c, t.Room, *automatic)
	if errors.Is(err, mxerr.NotFound) || err == nil && it.Thread != t.Root {
		err = mxerr.New(notInThread, "Event %s is not in the thread", *automatic)
	}
	return &it.Pos, err
}

func (s *Server) unsubscribeThread(ctx context.Context, c endpoint.Caller, req threadRequest) (endpoint.Empty, error) {
	t, err := s.thread(ctx, c, req)
	if err == nil {
		err = s.Subscriptions.Unsubscribe(ctx, c.UserID, t)
	}
	return endpoint.Empty{}, err
}

type threadSubscriptionsRequest struct {
	Dir   string `query:"dir" required:"true"`
	From  string `query:"from"`
	To    string `query:"to"`
	Limit *int64 `query:"limit"`
}

type threadSubscriptionsResponse struct {
	subscription.Listing
	End string `json:"end,omitempty"`
}

// mostSubscriptions is how many changes are in a page at most.
const mostSubscriptions = 1000

// threadSubscriptions lists changes, the newest first: from what sliding sync could
// not tell at once, or the end, to the pos of the request before.
func (s *Server) threadSubscriptions(ctx context.Context, c endpoint.Caller, req threadSubscriptionsRequest) (resp threadSubscriptionsResponse, err error) {
	limit := int64(100)
	if req.Limit != nil {
		limit = *req.Limit
	}
	if req.Dir != "b" || limit <= 0 {
		return resp, mxerr.New(mxerr.InvalidParam, "dir has to be b, and limit more than 0")
	}
	var from, to journal.Position = 1<<63 - 1, 0
	if req.From != "" {
		from, err = subscription.ParseToken(req.From)
	}
	if req.To != "" && err == nil {
		to, err = parseLimit(req.To)
	}
	if err != nil {
		return resp, err
	}
	list, next, err := s.Subscriptions.Since(ctx, c.UserID, to, from, int(min(limit, mostSubscriptions)))
	if err != nil {
		return resp, err
	}
	if next != 0 {
		resp.End = subscription.Token(next)
	}
	resp.Listing = subscription.List(list)
	return resp, nil
}

// parseLimit reads up to where a client has all changes: a pos of sliding sync, or
// what this route calls a place in the list itself.
func parseLimit(token string) (journal.Position, error) {
	if moment, err := feed.ParseMoment(token); err == nil {
		return moment.Pos, nil
	}
	return subscription.ParseToken(token)
}
