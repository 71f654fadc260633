package adminapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/report"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// reportRoutes serve https://element-hq.github.io/synapse/latest/admin_api/event_reports.html
// and the same for users and rooms.
func (s *Server) reportRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_synapse/admin/v1/event_reports", policy(), s.eventReports),
		endpoint.On("GET /_synapse/admin/v1/event_reports/{reportID}", policy(), s.eventReport),
		endpoint.On("DELETE /_synapse/admin/v1/event_reports/{reportID}", policy(), s.deleteReport(report.Event)),
		endpoint.On("GET /_synapse/admin/v1/user_reports", policy(), s.userReports),
		endpoint.On("GET /_synapse/admin/v1/user_reports/{reportID}", policy(), s.userReport),
		endpoint.On("DELETE /_synapse/admin/v1/user_reports/{reportID}", policy(), s.deleteReport(report.User)),
		endpoint.On("GET /_parley/admin/v1/room_reports", policy(), s.roomReports),
		endpoint.On("GET /_parley/admin/v1/room_reports/{reportID}", policy(), s.roomReport),
		endpoint.On("DELETE /_parley/admin/v1/room_reports/{reportID}", policy(), s.deleteReport(report.Room)),
	}
}

type reportsRequest struct {
	page
	Reporter string `query:"user_id"`
	Room     string `query:"room_id"`
	Sender   string `query:"event_sender_user_id"`
	// The documentation has another name than the server.
	SenderToo string `query:"sender_user_id"`
	Target    string `query:"target_user_id"`
}

// list returns the reports that a request asks for, as they are shown.
func list[T any](
	ctx context.Context, s *Server, kind report.Kind, req reportsRequest, show func(context.Context, report.Report) (T, error),
) (shown []T, total int64, more *int64, err error) {
	skip, limit, newest, err := req.bounds("b")
	if err != nil {
		return nil, 0, nil, err
	}
	q := report.Query{Kind: kind, Reporter: req.Reporter, Room: req.Room, Oldest: !newest, Skip: skip, Limit: limit}
	for _, user := range []string{req.Sender, req.SenderToo, req.Target} {
		if user != "" {
			q.User = user
		}
	}
	found, total, err := s.Reports.List(ctx, q)
	shown = make([]T, len(found))
	for i := 0; i < len(found) && err == nil; i++ {
		shown[i], err = show(ctx, found[i])
	}
	return shown, total, next(skip, len(found), total), err
}

type roomNames struct {
	Name           *string `json:"name"`
	CanonicalAlias *string `json:"canonical_alias"`
}

// names returns how a room is called, nothing for one that is not there.
func (s *Server) names(ctx context.Context, roomID id.RoomID) (roomNames, error) {
	summary, err := s.Rooms.Summary(ctx, roomID)
	if err != nil && !room.IsGone(err) {
		return roomNames{}, err
	}
	return roomNames{orNull(summary.Name), orNull(summary.CanonicalAlias)}, nil
}

type eventReport struct {
	ID       int64      `json:"id"`
	Received int64      `json:"received_ts"`
	RoomID   id.RoomID  `json:"room_id"`
	EventID  id.EventID `json:"event_id"`
	UserID   id.UserID  `json:"user_id"`
	Sender   id.UserID  `json:"sender"`
	Reason   string     `json:"reason"`
	Score    *int64     `json:"score"` // it was removed from the specification
	roomNames
}

func (s *Server) eventReportOf(ctx context.Context, r report.Report) (eventReport, error) {
	names, err := s.names(ctx, r.Room)
	return eventReport{
		ID: r.ID, Received: r.Received.UnixMilli(), RoomID: r.Room, EventID: r.Event, UserID: r.Reporter, Sender: r.User,
		Reason: r.Reason, roomNames: names,
	}, err
}

type eventReportsResponse struct {
	Reports []eventReport `json:"event_reports"`
	Next    *int64        `json:"next_token,omitempty"`
	Total   int64         `json:"total"`
}

func (s *Server) eventReports(ctx context.Context, _ endpoint.Caller, req reportsRequest) (eventReportsResponse, error) {
	list, total, more, err := list(ctx, s, report.Event, req, s.eventReportOf)
	return eventReportsResponse{list, more, total}, err
}

type reportRequest struct {
	ReportID int64 `path:"reportID"`
}

type eventReportResponse struct {
	eventReport
	// Event is the event as it is, redacted if it was, or null if it is gone.
	Event canonjson.Value `json:"event_json"`
}

func (s *Server) eventReport(ctx context.Context, _ endpoint.Caller, req reportRequest) (eventReportResponse, error) {
	resp := eventReportResponse{Event: canonjson.Value("null")}
	r, err := s.Reports.Get(ctx, report.Event, req.ReportID)
	if err != nil {
		return resp, err
	}
	if resp.eventReport, err = s.eventReportOf(ctx, r); err != nil {
		return resp, err
	}
	it, ok, err := s.Rooms.Item(ctx, r.Room, r.Event)
	if err != nil && !room.IsGone(err) {
		return resp, err
	}
	if ok {
		resp.Event = it.Event.JSON()
	}
	return resp, nil
}

type userReport struct {
	ID       int64     `json:"id"`
	Received int64     `json:"received_ts"`
	Target   id.UserID `json:"target_user_id"`
	UserID   id.UserID `json:"user_id"`
	Reason   string    `json:"reason"`
}

func userReportOf(_ context.Context, r report.Report) (userReport, error) {
	return userReport{ID: r.ID, Received: r.Received.UnixMilli(), Target: r.User, UserID: r.Reporter, Reason: r.Reason}, nil
}

type userReportsResponse struct {
	Reports []userReport `json:"user_reports"`
	Next    *int64       `json:"next_token,omitempty"`
	Total   int64        `json:"total"`
}

func (s *Server) userReports(ctx context.Context, _ endpoint.Caller, req reportsRequest) (userReportsResponse, error) {
	list, total, more, err := list(ctx, s, report.User, req, userReportOf)
	return userReportsResponse{list, more, total}, err
}

func (s *Server) userReport(ctx context.Context, _ endpoint.Caller, req reportRequest) (userReport, error) {
	r, err := s.Reports.Get(ctx, report.User, req.ReportID)
	if err != nil {
		return userReport{}, err
	}
	return userReportOf(ctx, r)
}

type roomReport struct {
	ID       int64     `json:"id"`
	Received int64     `json:"received_ts"`
	RoomID   id.RoomID `json:"room_id"`
	UserID   id.UserID `json:"user_id"`
	Reason   string    `json:"reason"`
	roomNames
}

func (s *Server) roomReportOf(ctx context.Context, r report.Report) (roomReport, error) {
	names, err := s.names(ctx, r.Room)
	return roomReport{r.ID, r.Received.UnixMilli(), r.Room, r.Reporter, r.Reason, names}, err
}

type roomReportsResponse struct {
	Reports []roomReport `json:"room_reports"`
	Next    *int64       `json:"next_token,omitempty"`
	Total   int64        `json:"total"`
}

func (s *Server) roomReports(ctx context.Context, _ endpoint.Caller, req reportsRequest) (roomReportsResponse, error) {
	list, total, more, err := list(ctx, s, report.Room, req, s.roomReportOf)
	return roomReportsResponse{list, more, total}, err
}

func (s *Server) roomReport(ctx context.Context, _ endpoint.Caller, req reportRequest) (roomReport, error) {
	r, err := s.Reports.Get(ctx, report.Room, req.ReportID)
	if err != nil {
		return roomReport{}, err
	}
	return s.roomReportOf(ctx, r)
}

func (s *Server) deleteReport(kind report.Kind) func(context.Context, endpoint.Caller, reportRequest) (endpoint.Empty, error) {
	return func(ctx context.Context, _ endpoint.Caller, req reportRequest) (endpoint.Empty, error) {
		return endpoint.Empty{}, s.Reports.Delete(ctx, kind, req.ReportID)
	}
}
