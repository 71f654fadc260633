package ssapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func (s *Server) keyRoutes() []endpoint.Route {
	public := endpoint.Policy{Auth: endpoint.None}
	return []endpoint.Route{
		endpoint.On("GET /_matrix/key/v2/server", public, s.keys),
		// Servers that are older than version 1.7 ask for one key, and get all.
		endpoint.On("GET /_matrix/key/v2/server/{$}", public, s.keys),
		endpoint.On("GET /_matrix/key/v2/server/{keyID}", public, s.oldKeys),
	}
}

// keys serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2server
func (s *Server) keys(context.Context, endpoint.Caller, endpoint.Empty) (canonjson.Value, error) {
	return s.Keys.Published(), nil
}

type oldKeysRequest struct {
	KeyID string `path:"keyID"`
}

func (s *Server) oldKeys(ctx context.Context, c endpoint.Caller, _ oldKeysRequest) (canonjson.Value, error) {
	return s.keys(ctx, c, endpoint.Empty{})
}

func (s *Server) notaryRoutes() []endpoint.Route {
	notary := endpoint.Policy{Auth: endpoint.None, Class: classNotary}
	return []endpoint.Route{
		endpoint.On("POST /_matrix/key/v2/query", notary, s.queryKeys),
		endpoint.On("GET /_matrix/key/v2/query/{serverName}", notary, s.keysOf),
		endpoint.On("GET /_matrix/key/v2/query/{serverName}/{keyID}", notary, s.keysOf),
	}
}

type serverKeys struct {
	Keys []canonjson.Value `json:"server_keys"`
}

type keysOfRequest struct {
	Server id.ServerName `path:"serverName"`
	KeyID  id.KeyID      `path:"keyID,optional"`
	At     int64         `query:"minimum_valid_until_ts"`
}

// keysOf serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2queryservername
func (s *Server) keysOf(ctx context.Context, _ endpoint.Caller, req keysOfRequest) (serverKeys, error) {
	var keys []id.KeyID
	if req.KeyID != "" {
		keys = append(keys, req.KeyID)
	}
	list, err := s.vouch(ctx, []canonjson.Value{}, req.Server, keys, req.At)
	return serverKeys{list}, err
}

type queryKeysRequest struct {
	Servers map[string]map[string]struct {
		At int64 `json:"minimum_valid_until_ts"`
	} `json:"server_keys" required:"M_BAD_JSON"`
}

// mostQueried is of how many servers the keys can be asked for at once.
const mostQueried = 500

// queryKeys serves https://spec.matrix.org/v1.19/server-server-api/#post_matrixkeyv2query
func (s *Server) queryKeys(ctx context.Context, _ endpoint.Caller, req queryKeysRequest) (serverKeys, error) {
	list := []canonjson.Value{}
	var asked int
	for name, criteria := range req.Servers {
		server, err := id.ParseServerName(name)
		if asked++; err != nil || asked > mostQueried {
			continue
		}
		var keys []id.KeyID
		var at int64
		for keyID, c := range criteria {
			at = max(at, c.At)
			if keyID != "" {
				keys = append(keys, id.KeyID(keyID))
			}
		}
		if list, err = s.vouch(ctx, list, server, keys, at); err != nil {
			return serverKeys{}, err
		}
	}
	return serverKeys{list}, nil
}

// vouch appends what a server says of its keys, signed by this one as well.
func (s *Server) vouch(ctx context.Context, list []canonjson.Value, server id.ServerName, keys []id.KeyID, at int64) ([]canonjson.Value, error) {
	responses, err := s.Ring.Responses(ctx, server, keys, at)
	for _, response := range responses {
		if server != s.Name {
			response = s.Keys.Sign(response)
		}
		list = append(list, response)
	}
	return list, err
}
