package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/filter"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

func (s *Server) filterRoutes() []endpoint.Route {
	create := endpoint.Policy{Auth: endpoint.User, Class: classCreate, BodyLimit: filter.MaxSize}
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/user/{userID}/filter", create, s.defineFilter),
		endpoint.On("GET /_matrix/client/v3/user/{userID}/filter/{filterID}", endpoint.Policy{Auth: endpoint.User}, s.filter),
	}
}

type defineFilterRequest struct {
	UserID     id.UserID       `path:"userID"`
	Definition canonjson.Value `body:"raw" required:"true"`
}

type defineFilterResponse struct {
	FilterID string `json:"filter_id"`
}

// defineFilter serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridfilter
func (s *Server) defineFilter(ctx context.Context, c endpoint.Caller, req defineFilterRequest) (defineFilterResponse, error) {
	if err := own(c, req.UserID); err != nil {
		return defineFilterResponse{}, err
	}
	filterID, err := s.Filters.Put(ctx, c.UserID, req.Definition)
	return defineFilterResponse{filterID}, err
}

type filterRequest struct {
	UserID   id.UserID `path:"userID"`
	FilterID string    `path:"filterID"`
}

// filter serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridfilterfilterid
func (s *Server) filter(ctx context.Context, c endpoint.Caller, req filterRequest) (canonjson.Value, error) {
	if err := own(c, req.UserID); err != nil {
		return nil, err
	}
	f, err := s.Filters.Get(ctx, c.UserID, req.FilterID)
	if err != nil {
		return nil, err
	}
	return f.Definition, nil
}
