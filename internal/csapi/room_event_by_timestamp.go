package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/feed"
	"parley/internal/room"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) timestampRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v1/rooms/{roomID}/timestamp_to_event", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.eventByTime),
	}
}

type eventByTimeRequest struct {
	RoomID id.RoomID `path:"roomID"`
	Time   int64     `query:"ts" required:"true"`
	Dir    string    `query:"dir" required:"true"`
}

type eventByTimeResponse struct {
	EventID id.EventID `json:"event_id"`
	Time    int64      `json:"origin_server_ts"`
}

// eventByTime serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event
func (s *Server) eventByTime(ctx context.Context, c endpoint.Caller, req eventByTimeRequest) (eventByTimeResponse, error) {
	if req.Dir != "f" && req.Dir != "b" {
		return eventByTimeResponse{}, mxerr.New(mxerr.InvalidParam, "dir is neither b nor f")
	}
	sight, err := s.readable(ctx, c, req.RoomID)
	if err != nil {
		return eventByTimeResponse{}, err
	}
	ignored, err := s.AccountData.Ignored(ctx, c.UserID)
	if err != nil {
		return eventByTimeResponse{}, err
	}
	hidden := func(e *event.Event) bool { return feed.Hidden(ignored, e) }
	it, ok, err := s.Rooms.NearestShown(ctx, req.RoomID, req.Time, req.Dir == "b", sight.Intervals, hidden)
	if err != nil {
		return eventByTimeResponse{}, err
	}
	resp := eventByTimeResponse{}
	if ok {
		resp = eventByTimeResponse{it.Event.ID(), it.Event.OriginServerTS()}
	}
	if resp, err = s.eventByTimeElsewhere(ctx, req, sight, it.Place, resp); err == nil && resp.EventID == "" {
		err = mxerr.New(mxerr.NotFound, "There is no event from %d on in this direction", req.Time)
	}
	return resp, err
}

// mostHistorians is how many other servers are asked for the event of a time.
const mostHistorians = 3

// eventByTimeElsewhere asks other servers for an event that is nearer to the time
// than that which was found here, in a place, if some are missing here. It returns
// the nearer one.
func (s *Server) eventByTimeElsewhere(ctx context.Context, req eventByTimeRequest, sight room.Sight, place int64, best eventByTimeResponse) (eventByTimeResponse, error) {
	// What an event says of who may see it is not known before it is here.
	if sight.Visibility != room.Shared && sight.Visibility != room.WorldReadable {
		return best, nil
	}
	gap, err := s.Rooms.GapBeside(ctx, req.RoomID, place, req.Dir == "b")
	if err != nil || !gap {
		return best, err
	}
	num, err := s.Rooms.Num(ctx, req.RoomID)
	if err != nil {
		return best, err
	}
	servers, err := s.Rooms.ServersIn(ctx, num)
	if err != nil {
		return best, err
	}
	asked := 0
	for _, server := range servers {
		if server == s.Name || asked == mostHistorians {
			continue
		}
		asked++
		eventID, ts, err := s.Remote.EventByTime(ctx, server, req.RoomID, req.Time, req.Dir)
		if err == nil && req.nearer(ts, best) {
			// Who is told of it will want to see it.
			err := s.Rooms.Bring(ctx, req.RoomID, server, eventID, place, req.Dir == "b")
			return eventByTimeResponse{eventID, ts}, err
		}
	}
	return best, ctx.Err()
}

// nearer reports whether an event of a time answers the request better than
// another, which may be none.
func (req eventByTimeRequest) nearer(ts int64, than eventByTimeResponse) bool {
	if req.Dir == "b" {
		return ts <= req.Time && (than.EventID == "" || ts > than.Time)
	}
	return ts >= req.Time && (than.EventID == "" || ts < than.Time)
}
