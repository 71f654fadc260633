package remote

import (
	"context"
	"net/http"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// askTime is for what somebody waits for who can do without.
const askTime = 15 * time.Second

// PublicRooms asks a server for its directory.
// https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1publicrooms
func (s *Servers) PublicRooms(ctx context.Context, server id.ServerName, query canonjson.Value) (canonjson.Value, error) {
	return s.Do(ctx, Call{
		Server: server, Method: http.MethodPost, Path: federation + "/v1/publicRooms", Body: query, Insist: true, Timeout: askTime, Limit: fewEvents,
	})
}
