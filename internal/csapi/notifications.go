package csapi

import (
	"context"
	"strconv"
	"strings"

	"parley/internal/endpoint"
	"parley/internal/feed"
	"parley/internal/journal"
	"parley/internal/push"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/pushrule"
)

func (s *Server) notificationRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/notifications", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.notifications),
	}
}

// How many notifications there are in a page, and at most.
const (
	notificationsPerPage     = 20
	mostNotificationsPerPage = 500
)

type notificationsRequest struct {
	From  string `query:"from"`
	Limit *int64 `query:"limit"`
	Only  string `query:"only"`
}

type notificationsResponse struct {
	Notifications []notification `json:"notifications"`
	NextToken     string         `json:"next_token,omitempty"`
}

type notification struct {
	Actions []pushrule.Action `json:"actions"`
	Event   canonjson.Value   `json:"event"`
	Read    bool              `json:"read"`
	RoomID  id.RoomID         `json:"room_id"`
	TS      int64             `json:"ts"`
}

// notifications serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3notifications
func (s *Server) notifications(ctx context.Context, c endpoint.Caller, req notificationsRequest) (notificationsResponse, error) {
	q, err := s.notificationQuery(c, req)
	if err != nil {
		return notificationsResponse{}, err
	}
	list, next, err := s.Notified.Before(ctx, q)
	if err != nil {
		return notificationsResponse{}, err
	}
	resp := notificationsResponse{Notifications: []notification{}}
	if next != 0 {
		resp.NextToken = "n1_" + s.Feed.Journal.Epoch() + "_" + strconv.FormatInt(int64(next), 10)
	}
	for _, n := range list {
		viewer := feed.Viewer{User: c.UserID, Device: c.DeviceID, OmitRoomID: true, Membership: n.Membership}
		shown, err := s.Feed.Show(ctx, viewer, n.RoomID, []room.Item{n.Item})
		if err != nil {
			return resp, err
		}
		resp.Notifications = append(resp.Notifications, notification{
			Actions: n.Actions, Event: shown[0], Read: n.Read, RoomID: n.RoomID, TS: n.Item.Event.OriginServerTS(),
		})
	}
	return resp, nil
}

func (s *Server) notificationQuery(c endpoint.Caller, req notificationsRequest) (q push.Query, err error) {
	q = push.Query{User: c.UserID, Before: s.Feed.Journal.Head() + 1, Limit: notificationsPerPage, Highlights: req.Only == "highlight"}
	switch {
	case req.Only != "" && !q.Highlights:
		return q, mxerr.New(mxerr.InvalidParam, "only can be highlight")
	case req.Limit == nil:
	case *req.Limit <= 0:
		return q, mxerr.New(mxerr.InvalidParam, "limit has to be greater than zero")
	default:
		q.Limit = int(min(*req.Limit, mostNotificationsPerPage))
	}
	if req.From == "" {
		return q, nil
	}
	pos, ok := strings.CutPrefix(req.From, "n1_"+s.Feed.Journal.Epoch()+"_")
	n, err := strconv.ParseInt(pos, 10, 64)
	if !ok || err != nil || n < 1 || journal.Position(n) > q.Before {
		return q, mxerr.New(mxerr.InvalidParam, "from is no token of this server")
	}
	q.Before = journal.Position(n)
	return q, nil
}
