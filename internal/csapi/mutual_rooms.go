package csapi

import (
	"context"
	"strconv"
	"strings"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) mutualRoomRoutes() []endpoint.Route {
	read := endpoint.Policy{Auth: endpoint.User, Class: classRead}
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v1/mutual_rooms", read, s.mutualRooms),
		endpoint.On("GET /_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms", read, s.mutualRoomsBefore),
	}
}

// mostMutual is how many rooms an answer has.
const mostMutual = 100

type mutualRoomsRequest struct {
	UserID id.UserID `query:"user_id" required:"true"`
	From   string    `query:"from"`
}

type mutualRoomsResponse struct {
	Joined    []id.RoomID `json:"joined"`
	Count     int64       `json:"count"`
	NextBatch string      `json:"next_batch,omitempty"`
}

// mutualRooms serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mutual_rooms
func (s *Server) mutualRooms(ctx context.Context, c endpoint.Caller, req mutualRoomsRequest) (mutualRoomsResponse, error) {
	switch {
	case req.UserID == c.UserID:
		return mutualRoomsResponse{}, mxerr.New(mxerr.InvalidParam, "You are in all of your rooms")
	case !isCompliant(req.UserID):
		return mutualRoomsResponse{}, mxerr.New(mxerr.InvalidParam, "user_id is not an ID that users may have")
	}
	after, err := parseMutual(req.From)
	if err != nil {
		return mutualRoomsResponse{}, err
	}
	// One more tells whether there are more.
	rooms, count, err := s.Rooms.Mutual(ctx, c.UserID, req.UserID, after, mostMutual+1)
	resp := mutualRoomsResponse{Joined: []id.RoomID{}, Count: count}
	for i, m := range rooms {
		if i == mostMutual {
			resp.NextBatch = formatMutual(rooms[i-1].Room)
			break
		}
		resp.Joined = append(resp.Joined, m.RoomID)
	}
	return resp, err
}

type mutualRoomsBeforeRequest struct {
	UserID id.UserID `query:"user_id" required:"true"`
	From   string    `query:"batch_token"`
}

type mutualRoomsBeforeResponse struct {
	Joined    []id.RoomID `json:"joined"`
	Count     int64       `json:"count"`
	NextBatch string      `json:"next_batch_token,omitempty"`
}

// mutualRoomsBefore serves what there was before it became part of the
// specification, with other names, for clients that know these only.
func (s *Server) mutualRoomsBefore(ctx context.Context, c endpoint.Caller, req mutualRoomsBeforeRequest) (mutualRoomsBeforeResponse, error) {
	resp, err := s.mutualRooms(ctx, c, mutualRoomsRequest(req))
	return mutualRoomsBeforeResponse(resp), err
}

// isCompliant reports whether the localpart of a user ID has what it may have by
// the rules for IDs that already exist.
// https://spec.matrix.org/v1.19/appendices/#historical-user-ids
func isCompliant(user id.UserID) bool {
	local := user.Localpart()
	return local != "" && strings.IndexFunc(local, func(r rune) bool { return r < 0x21 || r > 0x7e }) < 0
}

// The tokens are those of a place behind a room, by its number.
const mutualPrefix = "m1_"

func formatMutual(n room.Num) string { return mutualPrefix + strconv.FormatInt(int64(n), 36) }

func parseMutual(token string) (room.Num, error) {
	if token == "" {
		return 0, nil
	}
	text, ok := strings.CutPrefix(token, mutualPrefix)
	n, err := strconv.ParseInt(text, 36, 64)
	if !ok || err != nil || n < 0 {
		return 0, mxerr.New(mxerr.InvalidParam, "The token is not one that this server gave out")
	}
	return room.Num(n), nil
}
