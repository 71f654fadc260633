package csapi

import (
	"context"
	"errors"
	"math"
	"time"

	"parley/internal/delay"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Delayed events, https://github.com/matrix-org/matrix-spec-proposals/pull/4140:
// under the paths that the proposal was accepted with, and under those of before. Of
// before are also the query parameter that makes the usual requests to send those to
// send later (room_send.go), and actions that are in the body.
func (s *Server) delayedRoutes() []endpoint.Route {
	send := endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classSend, BodyLimit: 128 << 10}
	change := endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classWrite}
	read := endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classRead}
	const before = "/_matrix/client/unstable/org.matrix.msc4140"
	routes := []endpoint.Route{
		endpoint.On("PUT /_matrix/client/v3/rooms/{roomID}/delayed_event/{eventType}/{txnID}", send, s.delayEvent),
		endpoint.On("PUT "+before+"/rooms/{roomID}/delayed_event/{eventType}/{txnID}", send, s.delayEvent),
		endpoint.On("POST "+before+"/delayed_events/{delayID}", send, s.manageDelayed),
		endpoint.On("GET /_matrix/client/v1/delayed_events", read, s.delayedEvents),
		endpoint.On("GET "+before+"/delayed_events", read, s.delayedEventsBefore),
		endpoint.On("GET /_matrix/client/v1/delayed_events/{delayID}", read, s.delayedEvent),
		endpoint.On("GET "+before+"/delayed_events/{delayID}", read, s.delayedEventBefore),
	}
	for _, prefix := range []string{"POST /_matrix/client/v1/delayed_events/{delayID}/", "POST " + before + "/delayed_events/{delayID}/"} {
		routes = append(routes,
			endpoint.On(prefix+"send", send, s.sendDelayed),
			endpoint.On(prefix+"cancel", change, s.cancelDelayed),
			endpoint.On(prefix+"restart", change, s.restartDelayed),
		)
	}
	return routes
}

// delayParam asks to send later, by the name that clients use, or by the one that it was
// to have. To ignore it would be wrong: it is what a client sends that wants to be taken
// out of a call when it is gone.
type delayParam struct {
	Delay  *int64 `query:"org.matrix.msc4140.delay"`
	Stable *int64 `query:"delay"`
}

// ms returns for how many milliseconds to wait, nil for who does not ask for that.
func (p delayParam) ms() *int64 {
	if p.Delay != nil {
		return p.Delay
	}
	return p.Stable
}

// stickyParam makes an event sticky.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4354
type stickyParam struct {
	Sticky int64 `query:"org.matrix.msc4354.sticky_duration_ms"`
}

func (p stickyParam) check() error {
	if p.Sticky < 0 || p.Sticky > event.MaxSticky {
		return mxerr.New(mxerr.InvalidParam, "An event is sticky for 0 to %d milliseconds", event.MaxSticky)
	}
	return nil
}

type delayEventRequest struct {
	RoomID   id.RoomID       `path:"roomID"`
	Type     string          `path:"eventType"`
	TxnID    string          `path:"txnID"`
	Delay    int64           `json:"delay_ms" required:"true"`
	StateKey *string         `json:"state_key"`
	Content  canonjson.Value `json:"content" required:"true"`
	stickyParam
	timeParam
}

type delayResponse struct {
	DelayID string `json:"delay_id"`
}

// delayEvent schedules an event.
func (s *Server) delayEvent(ctx context.Context, c endpoint.Caller, req delayEventRequest) (delayResponse, error) {
	if err := req.check(); err != nil {
		return delayResponse{}, err
	}
	at, err := req.at(c)
	if err != nil {
		return delayResponse{}, err
	}
	e := delay.Event{Room: req.RoomID, Type: req.Type, StateKey: req.StateKey, Content: req.Content, Sticky: req.Sticky, Time: at}
	delayID, err := s.schedule(ctx, c, req.Delay, e, req.TxnID)
	return delayResponse{delayID}, err
}

// sendLater schedules what the usual requests were to send.
func (s *Server) sendLater(ctx context.Context, c endpoint.Caller, ms int64, e delay.Event, txnID string) (eventResponse, error) {
	delayID, err := s.schedule(ctx, c, ms, e, txnID)
	refusal := (*mxerr.Error)(nil)
	if errors.As(err, &refusal) {
		// As it was in the first drafts, by which clients find a delay that is allowed.
		const code = "org.matrix.msc4140.errcode"
		switch {
		case errors.Is(err, delay.ErrTooLong):
			err = mxerr.New(mxerr.Unknown, "%s", refusal.Message).WithStatus(400).With(code, "M_MAX_DELAY_EXCEEDED").
				With("org.matrix.msc4140.max_delay", s.Delayed.MaxDelay.Milliseconds()).Wrap(err)
		case errors.Is(err, delay.ErrTooMany):
			err = refusal.With(code, "M_MAX_DELAYED_EVENTS_EXCEEDED")
		}
	}
	return eventResponse{DelayID: delayID}, err
}

func (s *Server) schedule(ctx context.Context, c endpoint.Caller, ms int64, e delay.Event, txnID string) (delayID string, err error) {
	if len(txnID) > maxTxnID {
		return "", mxerr.New(mxerr.InvalidParam, "A transaction ID has at most %d bytes", maxTxnID)
	}
	if err := s.maySchedule(ctx, c, e); err != nil {
		return "", err
	}
	s.active(c)
	e.User, e.Delay = c.UserID, time.Duration(max(0, min(ms, math.MaxInt64/int64(time.Millisecond))))*time.Millisecond
	return s.Delayed.Schedule(ctx, e, delay.Transaction{Device: c.DeviceID, ID: txnID})
}

// maySchedule refuses what is not for the room to refuse. All else is found out when
// the event is sent.
func (s *Server) maySchedule(ctx context.Context, c endpoint.Caller, e delay.Event) error {
	if err := notSuspended(c); err != nil {
		return err
	}
	if e.StateKey == nil {
		return nil
	}
	switch {
	case e.Type == typeCanonicalAlias && *e.StateKey == "":
		if err := s.mustBeJoined(ctx, c, e.Room); err != nil {
			return err
		}
		return s.checkCanonicalAlias(ctx, e.Room, e.Content)
	case e.Type == event.TypeMember && e.Content.Get("membership").Is(event.MembershipJoin) && c.Guest:
		return mxerr.New(mxerr.Forbidden, "Guests join rooms themselves")
	}
	return nil
}

type delayIDRequest struct {
	DelayID string `path:"delayID"`
}

func (s *Server) sendDelayed(ctx context.Context, c endpoint.Caller, req delayIDRequest) (endpoint.Empty, error) {
	if err := notSuspended(c); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Delayed.SendNow(ctx, c.UserID, req.DelayID)
}

func (s *Server) cancelDelayed(ctx context.Context, c endpoint.Caller, req delayIDRequest) (endpoint.Empty, error) {
	return endpoint.Empty{}, s.Delayed.Cancel(ctx, c.UserID, req.DelayID)
}

func (s *Server) restartDelayed(ctx context.Context, c endpoint.Caller, req delayIDRequest) (endpoint.Empty, error) {
	return endpoint.Empty{}, s.Delayed.Restart(ctx, c.UserID, req.DelayID)
}

type manageDelayedRequest struct {
	delayIDRequest
	Action string `json:"action" required:"true"`
}

// manageDelayed has the action in the body.
func (s *Server) manageDelayed(ctx context.Context, c endpoint.Caller, req manageDelayedRequest) (endpoint.Empty, error) {
	switch req.Action {
	case "send":
		return s.sendDelayed(ctx, c, req.delayIDRequest)
	case "cancel":
		return s.cancelDelayed(ctx, c, req.delayIDRequest)
	case "restart":
		return s.restartDelayed(ctx, c, req.delayIDRequest)
	}
	return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "action is none of send, cancel and restart")
}

// A delayedView is an event as its user gets it.
type delayedView struct {
	DelayID     string          `json:"delay_id"`
	RoomID      id.RoomID       `json:"room_id"`
	Type        string          `json:"type"`
	StateKey    *string         `json:"state_key,omitempty"`
	Delay       int64           `json:"delay_ms"`
	ScheduledAt int64           `json:"scheduled_at"`
	Content     canonjson.Value `json:"content"`
	Error       canonjson.Value `json:"error,omitempty"`
	EventID     id.EventID      `json:"event_id,omitempty"`
	Finalised   int64           `json:"finalised_ts,omitempty"`

	// As they were called before.
	DelayBefore  int64 `json:"delay,omitempty"`
	RunningSince int64 `json:"running_since,omitempty"`
}

func viewDelayed(e delay.Event) delayedView {
	return delayedView{
		DelayID: e.ID, RoomID: e.Room, Type: e.Type, StateKey: e.StateKey, Delay: e.Delay.Milliseconds(), ScheduledAt: e.Begun,
		Content: e.Content, Error: e.Error, EventID: e.EventID, Finalised: e.Finalised,
	}
}

// before adds the names of before.
func (v delayedView) before() delayedView {
	v.DelayBefore, v.RunningSince = v.Delay, v.ScheduledAt
	return v
}

type delayedResponse struct {
	Events []delayedView `json:"delayed_events"`
}

// delayedEvents lists what is scheduled.
func (s *Server) delayedEvents(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (delayedResponse, error) {
	list, err := s.Delayed.Scheduled(ctx, c.UserID)
	resp := delayedResponse{make([]delayedView, len(list))}
	for i, e := range list {
		resp.Events[i] = viewDelayed(e)
	}
	return resp, err
}

func (s *Server) delayedEventsBefore(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (delayedResponse, error) {
	resp, err := s.delayedEvents(ctx, c, endpoint.Empty{})
	for i, v := range resp.Events {
		resp.Events[i] = v.before()
	}
	return resp, err
}

// delayedEvent shows one, or what became of it.
func (s *Server) delayedEvent(ctx context.Context, c endpoint.Caller, req delayIDRequest) (delayedView, error) {
	e, err := s.Delayed.Get(ctx, c.UserID, req.DelayID)
	return viewDelayed(e), err
}

func (s *Server) delayedEventBefore(ctx context.Context, c endpoint.Caller, req delayIDRequest) (delayedView, error) {
	v, err := s.delayedEvent(ctx, c, req)
	return v.before(), err
}
