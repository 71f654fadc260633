package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/feed"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/stateres"
)

func (s *Server) threadRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v1/rooms/{roomID}/threads", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.threads),
	}
}

type threadsRequest struct {
	RoomID  id.RoomID `path:"roomID"`
	Include string    `query:"include"`
	From    string    `query:"from"`
	Limit   *int64    `query:"limit"`
}

type threadsResponse struct {
	Chunk     []canonjson.Value
	NextBatch string
}

// AppendJSON implements endpoint.Appender.
func (r threadsResponse) AppendJSON(dst []byte) []byte {
	return append(object(append(dst, '{')).events("chunk", r.Chunk).text("next_batch", r.NextBatch), '}')
}

// mostThreads is through how many threads /threads goes in search of those that
// are wanted.
const mostThreads = 500

// threads serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidthreads
func (s *Server) threads(ctx context.Context, c endpoint.Caller, req threadsRequest) (threadsResponse, error) {
	if req.Include != "" && req.Include != "all" && req.Include != "participated" {
		return threadsResponse{}, mxerr.New(mxerr.InvalidParam, "include is neither all nor participated")
	}
	limit, err := pageLimit(req.Limit)
	if err != nil {
		return threadsResponse{}, err
	}
	sight, err := s.readable(ctx, c, req.RoomID)
	if err != nil {
		return threadsResponse{}, err
	}
	w := threadWalk{room: req.RoomID, sight: sight, at: room.Last, participated: req.Include == "participated"}
	if w.audience, err = s.Feed.Audience(ctx, viewer(c, sight)); err != nil {
		return threadsResponse{}, err
	}
	if req.From != "" {
		if w.at, err = s.place(ctx, req.RoomID, req.From); err != nil {
			return threadsResponse{}, err
		}
	}
	items, err := w.collect(ctx, s.Rooms, limit)
	if err != nil {
		return threadsResponse{}, err
	}
	var resp threadsResponse
	if !w.done {
		resp.NextBatch = feed.FormatPlace(w.at)
	}
	resp.Chunk, err = s.show(ctx, c, req.RoomID, sight, items)
	return resp, err
}

// A threadWalk goes through the threads of a room, the latest first.
type threadWalk struct {
	room         id.RoomID
	sight        room.Sight
	audience     room.Audience
	participated bool  // only those in which the user has said something
	at           int64 // where it is: at threads whose last event is up to there
	done         bool  // there are no more
}

// collect returns the next roots that are wanted, as long as the walk does not
// get too long. Those of ignored users come redacted.
func (w *threadWalk) collect(ctx context.Context, rooms *room.Engine, limit int) ([]room.Item, error) {
	var found []room.Item
	for scanned := 0; scanned < mostThreads; {
		roots, err := rooms.ThreadRoots(ctx, w.room, w.at, limit+1)
		if err != nil {
			return nil, err
		}
		items := make([]room.Item, len(roots))
		for i, root := range roots {
			items[i] = root.Item
		}
		bundles, err := rooms.Bundles(ctx, w.room, w.audience, items)
		if err != nil {
			return nil, err
		}
		left, err := rooms.Unexpired(ctx, w.room, items)
		if err != nil {
			return nil, err
		}
		fresh := make(map[stateres.Num]bool, len(left))
		for _, it := range left {
			fresh[it.Num] = true
		}
		for _, root := range roots {
			b := bundles[root.Num]
			if b != nil && b.Thread != nil && w.sight.Sees(root.Place) && fresh[root.Num] && (!w.participated || b.Thread.Participated) {
				if len(found) == limit {
					return found, nil
				}
				if w.audience.Ignored[root.Event.Sender()] {
					root.Event = root.Event.Redacted()
				}
				found = append(found, root.Item)
			}
			w.at = root.Last - 1
		}
		if len(roots) <= limit {
			w.done = true
			break
		}
		scanned += len(roots)
	}
	return found, nil
}
