package remote

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
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

// EventByTime asks a server for the event that is nearest to a time, in the
// direction f or b.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1timestamp_to_eventroomid
func (s *Servers) EventByTime(ctx context.Context, server id.ServerName, roomID id.RoomID, ts int64, dir string) (id.EventID, int64, error) {
	answer, err := s.Do(ctx, Call{
		Server: server, Method: http.MethodGet, Path: Path(federation+"/v1/timestamp_to_event", string(roomID)),
		Query: url.Values{"ts": {strconv.FormatInt(ts, 10)}, "dir": {dir}}, Timeout: askTime,
	})
	if err != nil {
		return "", 0, err
	}
	text, _ := answer.Get("event_id").Text()
	eventID, err := id.ParseEventID(text)
	at, ok := answer.Get("origin_server_ts").Int()
	if err != nil || !ok {
		return "", 0, errors.Join(errShape, err)
	}
	return eventID, at, nil
}

// Hierarchy asks a server for a room and, if that is a space, its children.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1hierarchyroomid
func (s *Servers) Hierarchy(ctx context.Context, server id.ServerName, roomID id.RoomID, suggestedOnly bool) (canonjson.Value, error) {
	return s.Do(ctx, Call{
		Server: server, Method: http.MethodGet, Path: Path(federation+"/v1/hierarchy", string(roomID)),
		Query: url.Values{"suggested_only": {strconv.FormatBool(suggestedOnly)}}, Timeout: askTime, Limit: fewEvents,
	})
}

// UserDevices asks the server of a user for the user's devices and their keys.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1userdevicesuserid
func (s *Servers) UserDevices(ctx context.Context, user id.UserID) (canonjson.Value, error) {
	return s.Do(ctx, Call{
		Server: user.Server(), Method: http.MethodGet, Path: Path(federation+"/v1/user/devices", string(user)), Timeout: askTime, Limit: fewEvents,
	})
}
