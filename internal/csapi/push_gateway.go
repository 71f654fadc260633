package csapi

import (
	"context"
	"errors"
	"net/http"

	"parley/internal/endpoint"
	"parley/internal/gateway"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// The push gateway, which is for homeservers.
func (s *Server) pushGatewayRoutes() []endpoint.Route {
	if s.PushGateway == nil {
		return nil
	}
	return []endpoint.Route{
		endpoint.On("GET /_matrix/push/v1/notify", endpoint.Policy{Auth: endpoint.None}, s.findPushGateway),
		endpoint.On("POST /_matrix/push/v1/notify", endpoint.Policy{Auth: endpoint.None, Class: classNotify, BodyLimit: 128 << 10}, s.notify),
	}
}

// findPushGateway says to apps with an endpoint of UnifiedPush that they are reached
// through here. https://unifiedpush.org/developers/gateway/
func (s *Server) findPushGateway(context.Context, endpoint.Caller, endpoint.Empty) (canonjson.Value, error) {
	return canonjson.Value(`{"unifiedpush":{"gateway":"matrix"}}`), nil
}

type notifyRequest struct {
	Notification canonjson.Value `json:"notification" required:"true"`
}

type notifyResponse struct {
	Rejected []string `json:"rejected"`
}

// notify serves https://spec.matrix.org/v1.19/push-gateway-api/#post_matrixpushv1notify
//
// The server's own users have no need of it: what is for them is not sent over the web.
func (s *Server) notify(ctx context.Context, _ endpoint.Caller, req notifyRequest) (notifyResponse, error) {
	if s.Settings.PushGatewayOfUsers {
		return notifyResponse{}, mxerr.New(mxerr.Forbidden, "This is a push gateway for users of this server only")
	}
	rejected, err := s.PushGateway.Notify(ctx, req.Notification)
	return notifyResponse{rejected}, passedOn(err)
}

// passedOn is what a homeserver is told that is to try it again.
func passedOn(err error) error {
	refusal, refused := (*mxerr.Error)(nil), (*gateway.Refused)(nil)
	switch {
	case err == nil || errors.As(err, &refusal):
		return err
	case errors.As(err, &refused) && refused.Status == http.StatusTooManyRequests:
		e := mxerr.New(mxerr.LimitExceeded, "Too much is sent to this device")
		if refused.Pause > 0 {
			e = e.With("retry_after_ms", refused.Pause.Milliseconds())
		}
		return e.Wrap(err)
	}
	return mxerr.New(mxerr.Unknown, "The device could not be reached").WithStatus(http.StatusBadGateway).Wrap(err)
}
