package csapi

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"parley/internal/account"
	"parley/internal/e2ee"
	"parley/internal/endpoint"
	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// dehydratedRoutes are those of
// https://github.com/matrix-org/matrix-spec-proposals/pull/3814
func (s *Server) dehydratedRoutes() []endpoint.Route {
	const path = "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device"
	return []endpoint.Route{
		endpoint.On("PUT "+path, endpoint.Policy{Auth: endpoint.User, Class: classCreate}, s.putDehydrated),
		endpoint.On("GET "+path, endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.dehydrated),
		endpoint.On("DELETE "+path, endpoint.Policy{Auth: endpoint.User, Class: classWrite}, s.deleteDehydrated),
		endpoint.On("POST "+path+"/{deviceID}/events", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.dehydratedEvents),
		endpoint.On("GET "+path+"/{deviceID}/events", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.dehydratedPage),
	}
}

// An Inbox returns what was sent to a device behind a position of the journal, up to
// limit messages, and the position up to which that is all. It deletes nothing.
type Inbox func(ctx context.Context, user id.UserID, device id.DeviceID, after journal.Position, limit int) ([]canonjson.Value, journal.Position, error)

type putDehydratedRequest struct {
	Device   id.DeviceID     `json:"device_id" required:"true"`
	Data     canonjson.Value `json:"device_data" required:"true"`
	Name     string          `json:"initial_device_display_name"`
	Keys     canonjson.Value `json:"device_keys" required:"true"`
	OneTime  canonjson.Value `json:"one_time_keys"`
	Fallback canonjson.Value `json:"fallback_keys"`
}

type dehydratedID struct {
	Device id.DeviceID `json:"device_id"`
}

// putDehydrated makes a device that nobody is logged in with, in the place of the
// one before.
func (s *Server) putDehydrated(ctx context.Context, c endpoint.Caller, req putDehydratedRequest) (dehydratedID, error) {
	d := e2ee.Dehydrated{Device: req.Device, Data: req.Data}
	u := e2ee.Upload{Device: req.Keys, OneTime: req.OneTime, Fallback: req.Fallback}
	if err := e2ee.CheckDehydrated(c.UserID, d, u); err != nil {
		return dehydratedID{}, err
	}
	var err error
	if d.Add, err = s.Accounts.PlanDevice(ctx, account.NewDevice{User: c.UserID, ID: d.Device, Name: req.Name}); err != nil {
		return dehydratedID{}, err
	}
	s.Services.Devices(c.UserID)
	before, err := s.Keys.PutDehydrated(ctx, c.UserID, d, u)
	if err == nil && len(before) > 0 {
		err = s.Accounts.DeleteDevices(ctx, c.UserID, before)
	}
	return dehydratedID{d.Device}, err
}

type dehydratedResponse struct {
	Device id.DeviceID     `json:"device_id"`
	Data   canonjson.Value `json:"device_data"`
}

// dehydrated returns the dehydrated device to be used by a new client.
func (s *Server) dehydrated(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (dehydratedResponse, error) {
	d, err := s.Keys.Dehydrated(ctx, c.UserID)
	return dehydratedResponse{d.Device, d.Data}, err
}

// deleteDehydrated removes the dehydrated device.
func (s *Server) deleteDehydrated(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (dehydratedID, error) {
	d, err := s.Keys.Dehydrated(ctx, c.UserID)
	if err != nil {
		return dehydratedID{}, err
	}
	devices, err := s.Keys.AllDehydrated(ctx, c.UserID)
	if err == nil {
		err = s.Accounts.DeleteDevices(ctx, c.UserID, devices)
	}
	return dehydratedID{d.Device}, err
}

type dehydratedEventsRequest struct {
	Device id.DeviceID `path:"deviceID"`
	From   string      `json:"next_batch"`
}

type dehydratedEventsResponse struct {
	Events []canonjson.Value `json:"events"`
	Next   string            `json:"next_batch,omitempty"`
}

// mostDehydrated is how many messages an answer has.
const mostDehydrated = 100

// dehydratedPrefix begins tokens for the messages to a dehydrated device; a position
// follows.
const dehydratedPrefix = "d1_"

// dehydratedEvents returns what was sent to the dehydrated device. It stays there:
// whoever is interrupted begins again. Clients go on until nothing comes any more.
func (s *Server) dehydratedEvents(ctx context.Context, c endpoint.Caller, req dehydratedEventsRequest) (dehydratedEventsResponse, error) {
	events, next, err := s.sentTo(ctx, c, req.Device, req.From)
	return dehydratedEventsResponse{events, dehydratedPrefix + strconv.FormatInt(int64(next), 10)}, err
}

type dehydratedPageRequest struct {
	Device id.DeviceID `path:"deviceID"`
	From   string      `query:"from"`
}

// dehydratedPage is dehydratedEvents as it is proposed now: there is a next page only
// if there is something in it.
func (s *Server) dehydratedPage(ctx context.Context, c endpoint.Caller, req dehydratedPageRequest) (dehydratedEventsResponse, error) {
	events, next, err := s.sentTo(ctx, c, req.Device, req.From)
	if err != nil || len(events) < mostDehydrated {
		return dehydratedEventsResponse{Events: events}, err
	}
	more, _, err := s.Inbox(ctx, c.UserID, req.Device, next, 1)
	if err != nil || len(more) == 0 {
		return dehydratedEventsResponse{Events: events}, err
	}
	return dehydratedEventsResponse{events, dehydratedPrefix + strconv.FormatInt(int64(next), 10)}, nil
}

// sentTo returns what was sent to a device behind a token, if that is the dehydrated
// one of the caller, and up to where.
func (s *Server) sentTo(ctx context.Context, c endpoint.Caller, device id.DeviceID, from string) ([]canonjson.Value, journal.Position, error) {
	after := int64(0)
	if from != "" {
		var err error
		text, ok := strings.CutPrefix(from, dehydratedPrefix)
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || !ok || after < 0 {
			return nil, 0, mxerr.New(mxerr.InvalidParam, "The token is not one that was given out")
		}
	}
	d, err := s.Keys.Dehydrated(ctx, c.UserID)
	if errors.Is(err, mxerr.NotFound) || err == nil && d.Device != device {
		err = mxerr.New(mxerr.Forbidden, "This is not your dehydrated device")
	}
	if err != nil {
		return nil, 0, err
	}
	events, next, err := s.Inbox(ctx, c.UserID, d.Device, journal.Position(after), mostDehydrated)
	return append([]canonjson.Value{}, events...), next, err
}
