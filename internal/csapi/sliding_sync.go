package csapi

import (
	"context"
	"time"

	"parley/internal/endpoint"
	"parley/internal/ephemeral"
	"parley/internal/feed"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

func (s *Server) slidingSyncRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v4/sync", endpoint.Policy{Auth: endpoint.User, Waits: true}, s.slidingSync),
		endpoint.On("POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync", endpoint.Policy{Auth: endpoint.User, Waits: true}, s.unstableSlidingSync),
	}
}

type slidingSyncRequest struct {
	Body canonjson.Value `body:"raw"`
}

// slidingSync serves https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md
func (s *Server) slidingSync(ctx context.Context, c endpoint.Caller, req slidingSyncRequest) (*feed.SlidingResponse, error) {
	q, err := feed.ParseSliding(feed.SlidingMerged, c.UserID, req.Body)
	if err != nil {
		return nil, err
	}
	return s.slide(ctx, c, q)
}

type unstableSlidingSyncRequest struct {
	Pos         string          `query:"pos"`
	Timeout     uint64          `query:"timeout"` // milliseconds
	SetPresence string          `query:"set_presence"`
	Body        canonjson.Value `body:"raw"`
}

// unstableSlidingSync serves what clients used before that was merged.
func (s *Server) unstableSlidingSync(ctx context.Context, c endpoint.Caller, req unstableSlidingSyncRequest) (*feed.SlidingResponse, error) {
	q, err := feed.ParseSliding(feed.SlidingUnstable, c.UserID, req.Body)
	if err != nil {
		return nil, err
	}
	q.Pos, q.SetPresence = req.Pos, req.SetPresence
	q.Timeout = time.Duration(min(req.Timeout, uint64(longestWait.Milliseconds()))) * time.Millisecond
	return s.slide(ctx, c, q)
}

func (s *Server) slide(ctx context.Context, c endpoint.Caller, q *feed.SlidingRequest) (*feed.SlidingResponse, error) {
	state, ok := ephemeral.Online, true
	if q.SetPresence != "" {
		if state, ok = ephemeral.ParseState(q.SetPresence); !ok {
			return nil, mxerr.New(mxerr.InvalidParam, "set_presence is neither online nor offline nor unavailable")
		}
	}
	q.Device = c.DeviceID
	if s.Presence != nil && state != ephemeral.Offline {
		defer s.Presence.Sync(c.UserID, c.DeviceID, state)()
	}
	return s.Feed.Sliding(ctx, q)
}
