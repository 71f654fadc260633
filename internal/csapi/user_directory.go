package csapi

import (
	"context"

	"parley/internal/directory"
	"parley/internal/endpoint"
	"parley/matrix/mxerr"
)

func (s *Server) userDirectoryRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/user_directory/search", endpoint.Policy{Auth: endpoint.User, Class: classFindUsers}, s.searchUsers),
	}
}

// How many users there are in an answer, and at most.
const (
	defaultUsers = 10
	mostUsers    = 50
)

type searchUsersRequest struct {
	Term  string `json:"search_term" required:"true"`
	Limit *int64 `json:"limit"`
}

type searchUsersResponse struct {
	Results []directory.User `json:"results"`
	Limited bool             `json:"limited"`
}

// searchUsers serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3user_directorysearch
func (s *Server) searchUsers(ctx context.Context, c endpoint.Caller, req searchUsersRequest) (resp searchUsersResponse, err error) {
	limit := int64(defaultUsers)
	if req.Limit != nil {
		limit = *req.Limit
	}
	if limit < 0 {
		return resp, mxerr.New(mxerr.InvalidParam, "limit is negative")
	}
	resp.Results, resp.Limited, err = s.UserDirectory.Search(ctx, c.UserID, req.Term, int(min(limit, mostUsers)))
	if resp.Results == nil {
		resp.Results = []directory.User{}
	}
	return resp, err
}
