package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func (s *Server) tagRoutes() []endpoint.Route {
	read := endpoint.Policy{Auth: endpoint.User}
	write := endpoint.Policy{Auth: endpoint.User, Class: classWrite}
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/user/{userID}/rooms/{roomID}/tags", read, s.tags),
		endpoint.On("PUT /_matrix/client/v3/user/{userID}/rooms/{roomID}/tags/{tag}", write, s.putTag),
		endpoint.On("DELETE /_matrix/client/v3/user/{userID}/rooms/{roomID}/tags/{tag}", write, s.deleteTag),
	}
}

type tagsRequest struct {
	UserID id.UserID `path:"userID"`
	RoomID id.RoomID `path:"roomID"`
}

type tagsResponse struct {
	Tags canonjson.Value `json:"tags"`
}

// tags serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridroomsroomidtags
func (s *Server) tags(ctx context.Context, c endpoint.Caller, req tagsRequest) (tagsResponse, error) {
	if err := own(c, req.UserID); err != nil {
		return tagsResponse{}, err
	}
	tags, err := s.AccountData.Tags(ctx, c.UserID, req.RoomID)
	return tagsResponse{tags}, err
}

type tagRequest struct {
	tagsRequest
	Tag string `path:"tag"`
}

type putTagRequest struct {
	tagRequest
	About canonjson.Value `body:"raw"`
}

// putTag serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3useruseridroomsroomidtagstag
func (s *Server) putTag(ctx context.Context, c endpoint.Caller, req putTagRequest) (endpoint.Empty, error) {
	if err := own(c, req.UserID); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.AccountData.PutTag(ctx, c.UserID, req.RoomID, req.Tag, req.About)
}

// deleteTag serves https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3useruseridroomsroomidtagstag
func (s *Server) deleteTag(ctx context.Context, c endpoint.Caller, req tagRequest) (endpoint.Empty, error) {
	if err := own(c, req.UserID); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.AccountData.DeleteTag(ctx, c.UserID, req.RoomID, req.Tag)
}
