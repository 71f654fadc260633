package csapi

import (
	"context"
	"errors"

	"parley/internal/account"
	"parley/internal/e2ee"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) crossSigningRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/keys/device_signing/upload",
			endpoint.Policy{Auth: endpoint.User, Class: classAuth, BodyLimit: interactionLimit}, s.uploadCrossSigning),
		endpoint.On("POST /_matrix/client/v3/keys/signatures/upload", endpoint.Policy{Auth: endpoint.User, Class: classWrite}, s.uploadSignatures),
	}
}

type crossSigningRequest struct {
	Body canonjson.Value `body:"raw"`
}

// uploadCrossSigning serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysdevice_signingupload
func (s *Server) uploadCrossSigning(ctx context.Context, c endpoint.Caller, req crossSigningRequest) (endpoint.Empty, error) {
	// A client that goes on with a session need not say again what it is about.
	if req.Body.Get("auth").Kind() != canonjson.Object || len(req.Body.Without("auth")) > len("{}") {
		err := s.putCrossSigning(ctx, c, req.Body, c.AppService != "")
		if !errors.Is(err, e2ee.ErrUnconfirmed) {
			return endpoint.Empty{}, err
		}
	}
	done, err := s.confirmCrossSigning(ctx, c, req.Body)
	if err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.putCrossSigning(ctx, c, done.Body, true)
}

// confirmCrossSigning lets the caller confirm that other keys take the place of those
// that there are: by password, or on the page of the account if the access token is one
// of the OAuth 2.0 API, whose users need not have a password.
func (s *Server) confirmCrossSigning(ctx context.Context, c endpoint.Caller, body canonjson.Value) (account.Confirmed, error) {
	if s.OAuthPage != nil && c.AppService == "" {
		if page := s.OAuthPage(ctx, c); page != nil {
			return s.Accounts.Interact(ctx, account.Interaction{
				Operation: toReplaceKeys, User: c.UserID, Flows: []account.Flow{{account.StageOAuth}}, Page: page, Body: body,
			})
		}
	}
	return s.confirm(ctx, c, toReplaceKeys, body)
}

func (s *Server) putCrossSigning(ctx context.Context, c endpoint.Caller, body canonjson.Value, confirmed bool) error {
	return s.Keys.PutCrossSigning(ctx, c.UserID, e2ee.CrossSigning{
		Master: body.Get("master_key"), SelfSigning: body.Get("self_signing_key"), UserSigning: body.Get("user_signing_key"),
	}, confirmed)
}

type uploadSignaturesRequest struct {
	Body canonjson.Value `body:"raw"`
}

type uploadSignaturesResponse struct {
	Failures e2ee.Failures `json:"failures"`
}

// uploadSignatures serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keyssignaturesupload
func (s *Server) uploadSignatures(ctx context.Context, c endpoint.Caller, req uploadSignaturesRequest) (uploadSignaturesResponse, error) {
	signed := make(e2ee.Signing)
	for name, objects := range req.Body.Members() {
		text, _ := name.Text()
		user, err := id.ParseUserID(text)
		if err != nil || objects.Kind() != canonjson.Object {
			return uploadSignaturesResponse{}, mxerr.New(mxerr.BadJSON, "The members of the body are users, with objects of what is signed")
		}
		signed[user] = make(map[string]canonjson.Value)
		for name, object := range objects.Members() {
			target, _ := name.Text()
			if object.Kind() != canonjson.Object {
				return uploadSignaturesResponse{}, mxerr.New(mxerr.BadJSON, "What is signed has to be an object")
			}
			signed[user][target] = object
		}
	}
	failed, err := s.Keys.Sign(ctx, c.UserID, signed)
	return uploadSignaturesResponse{failed}, err
}
