package csapi

import (
	"context"
	"errors"

	"parley/internal/endpoint"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) publicRoomRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/directory/list/room/{roomID}", endpoint.Policy{Auth: endpoint.None}, s.visibility),
		endpoint.On("PUT /_matrix/client/v3/directory/list/room/{roomID}",
			endpoint.Policy{Auth: endpoint.User, Class: classWrite}, s.setVisibility),
		endpoint.On("GET /_matrix/client/v3/publicRooms", endpoint.Policy{Auth: endpoint.None, Class: classRead}, s.publicRooms),
		endpoint.On("POST /_matrix/client/v3/publicRooms",
			endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classRead}, s.searchPublicRooms),
	}
}

// The visibilities of a room in the directory.
const (
	visibilityPublic  = "public"
	visibilityPrivate = "private"
)

type visibilityRequest struct {
	RoomID id.RoomID `path:"roomID"`
}

type visibilityResponse struct {
	Visibility string `json:"visibility"`
}

// visibility serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directorylistroomroomid
func (s *Server) visibility(ctx context.Context, _ endpoint.Caller, req visibilityRequest) (visibilityResponse, error) {
	published, err := s.Rooms.IsPublished(ctx, req.RoomID)
	return visibilityResponse{visibilityOf(published)}, err
}

func visibilityOf(published bool) string {
	if published {
		return visibilityPublic
	}
	return visibilityPrivate
}

// isPublished reports whether a room of a visibility is published.
func isPublished(visibility string) (bool, error) {
	switch visibility {
	case visibilityPublic, visibilityPrivate:
		return visibility == visibilityPublic, nil
	}
	return false, mxerr.New(mxerr.InvalidParam, "visibility has to be public or private")
}

type setVisibilityRequest struct {
	visibilityRequest
	Visibility *string `json:"visibility"`
}

// setVisibility serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directorylistroomroomid
func (s *Server) setVisibility(ctx context.Context, c endpoint.Caller, req setVisibilityRequest) (endpoint.Empty, error) {
	visibility := visibilityPublic
	if req.Visibility != nil {
		visibility = *req.Visibility
	}
	published, err := isPublished(visibility)
	if err != nil {
		return endpoint.Empty{}, err
	}
	if err := notSuspended(c); err != nil {
		return endpoint.Empty{}, err
	}
	if _, err := s.Rooms.Num(ctx, req.RoomID); err != nil {
		return endpoint.Empty{}, err
	}
	if err := s.mayName(ctx, c, req.RoomID); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Rooms.Publish(ctx, req.RoomID, published)
}

type publicRoomsRequest struct {
	Limit  *int64        `query:"limit"`
	Since  string        `query:"since"`
	Server id.ServerName `query:"server"`
}

// publicRooms serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3publicrooms
func (s *Server) publicRooms(ctx context.Context, _ endpoint.Caller, req publicRoomsRequest) (room.PublicRooms, error) {
	return s.publicRoomsOf(ctx, req.Server, room.PublicQuery{Limit: req.Limit, Since: req.Since})
}

type searchPublicRoomsRequest struct {
	Server id.ServerName `query:"server"`
	room.PublicQuery
}

// searchPublicRooms serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3publicrooms
func (s *Server) searchPublicRooms(ctx context.Context, _ endpoint.Caller, req searchPublicRoomsRequest) (room.PublicRooms, error) {
	return s.publicRoomsOf(ctx, req.Server, req.PublicQuery)
}

// publicRoomsOf returns a page of the directory of this server or another one.
func (s *Server) publicRoomsOf(ctx context.Context, server id.ServerName, q room.PublicQuery) (room.PublicRooms, error) {
	if server == "" || server == s.Name {
		return s.Rooms.PublicRooms(ctx, q)
	}
	body, err := canonjson.Marshal(q)
	if err != nil {
		return room.PublicRooms{}, err
	}
	answer, err := s.Remote.PublicRooms(ctx, server, body)
	if refusal, ok := errors.AsType[*remote.Refusal](err); ok && (refusal.Code == mxerr.InvalidParam || refusal.Code == mxerr.Forbidden) {
		return room.PublicRooms{}, mxerr.New(refusal.Code, "%s refuses to say which rooms it has", server).Wrap(err)
	}
	if err != nil {
		return room.PublicRooms{}, mxerr.New(mxerr.NotFound, "%s could not be asked for its rooms", server).Wrap(err)
	}
	return room.ReadPublicRooms(answer), nil
}
