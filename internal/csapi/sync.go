package csapi

import (
	"context"
	"time"

	"parley/internal/endpoint"
	"parley/internal/ephemeral"
	"parley/internal/feed"
	"parley/matrix/mxerr"
)

func (s *Server) syncRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/sync", endpoint.Policy{Auth: endpoint.UserOrGuest, Waits: true}, s.sync),
	}
}

// longestWait bounds how long a client may wait for news.
const longestWait = 5 * time.Minute

type syncRequest struct {
	Filter        string `query:"filter"`
	Since         string `query:"since"`
	FullState     bool   `query:"full_state"`
	SetPresence   string `query:"set_presence"`
	Timeout       uint64 `query:"timeout"` // milliseconds
	UseStateAfter bool   `query:"use_state_after"`
	// UnstableStateAfter is what it was called before it was part of the
	// specification.
	UnstableStateAfter bool `query:"org.matrix.msc4222.use_state_after"`
}

// sync serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
func (s *Server) sync(ctx context.Context, c endpoint.Caller, req syncRequest) (*feed.Response, error) {
	state, ok := ephemeral.Online, true
	if req.SetPresence != "" {
		if state, ok = ephemeral.ParseState(req.SetPresence); !ok {
			return nil, mxerr.New(mxerr.InvalidParam, "set_presence is neither online nor offline nor unavailable")
		}
	}
	f, err := s.Filters.Resolve(ctx, c.UserID, req.Filter)
	if err != nil {
		return nil, err
	}
	q := feed.Request{
		User: c.UserID, Device: c.DeviceID, Since: req.Since, Filter: f, FullState: req.FullState,
		Timeout: time.Duration(min(req.Timeout, uint64(longestWait.Milliseconds()))) * time.Millisecond,
	}
	switch {
	case req.UseStateAfter:
		q.StateAfter = "state_after"
	case req.UnstableStateAfter:
		q.StateAfter = "org.matrix.msc4222.state_after"
	}
	if s.Presence != nil && state != ephemeral.Offline {
		defer s.Presence.Sync(c.UserID, c.DeviceID, state)()
	}
	return s.Feed.Sync(ctx, q)
}
