package csapi

import (
	"context"
	"net/http"
	"net/url"

	"parley/internal/appservice"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) thirdPartyRoutes() []endpoint.Route {
	policy := endpoint.Policy{Auth: endpoint.User, Class: classRead}
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/thirdparty/protocols", policy, s.protocols),
		endpoint.On("GET /_matrix/client/v3/thirdparty/protocol/{protocol}", policy, s.protocol),
		// What the fields of a query are called is a matter of the protocol.
		endpoint.Stream("GET /_matrix/client/v3/thirdparty/location/{protocol}", policy, s.findThere(appservice.Locations)),
		endpoint.Stream("GET /_matrix/client/v3/thirdparty/user/{protocol}", policy, s.findThere(appservice.Users)),
		endpoint.On("GET /_matrix/client/v3/thirdparty/location", policy, s.locationsOf),
		endpoint.On("GET /_matrix/client/v3/thirdparty/user", policy, s.usersOf),
	}
}

// protocols serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyprotocols
func (s *Server) protocols(ctx context.Context, _ endpoint.Caller, _ endpoint.Empty) (map[string]canonjson.Value, error) {
	return s.Services.Protocols(ctx), nil
}

type protocolRequest struct {
	Protocol string `path:"protocol"`
}

// protocol serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyprotocolprotocol
func (s *Server) protocol(ctx context.Context, _ endpoint.Caller, req protocolRequest) (canonjson.Value, error) {
	protocol := s.Services.Protocol(ctx, req.Protocol)
	if protocol == nil {
		return nil, mxerr.New(mxerr.NotFound, "There is no protocol of this name")
	}
	return protocol, nil
}

// findThere serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartylocationprotocol
// and https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyuserprotocol
func (s *Server) findThere(what appservice.Lookup) endpoint.Streamer {
	return func(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return mxerr.New(mxerr.InvalidParam, "The query string is malformed").Wrap(err)
		}
		query.Del("access_token")
		found, err := anyOf(s.Services.Find(r.Context(), what, r.PathValue("protocol"), query))
		if err != nil {
			return err
		}
		body, err := canonjson.Marshal(found)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		_, err = w.Write(body)
		return err
	}
}

// anyOf is what was found, or [mxerr.NotFound].
func anyOf(list []canonjson.Value) ([]canonjson.Value, error) {
	if len(list) == 0 {
		return nil, mxerr.New(mxerr.NotFound, "Nothing was found")
	}
	return list, nil
}

type locationsRequest struct {
	Alias id.RoomAlias `query:"alias" required:"true"`
}

// locationsOf serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartylocation
func (s *Server) locationsOf(ctx context.Context, _ endpoint.Caller, req locationsRequest) ([]canonjson.Value, error) {
	return anyOf(s.Services.Find(ctx, appservice.Locations, "", url.Values{"alias": {string(req.Alias)}}))
}

type usersRequest struct {
	User id.UserID `query:"userid" required:"true"`
}

// usersOf serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyuser
func (s *Server) usersOf(ctx context.Context, _ endpoint.Caller, req usersRequest) ([]canonjson.Value, error) {
	return anyOf(s.Services.Find(ctx, appservice.Users, "", url.Values{"userid": {string(req.User)}}))
}
