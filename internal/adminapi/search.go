package adminapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/mxerr"
)

// searchRoutes are of no other server.
func (s *Server) searchRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_parley/admin/v1/search_index", policy(), s.searchIndex),
		endpoint.On("POST /_parley/admin/v1/search_index/rebuild", policy(), s.rebuildSearchIndex),
	}
}

type searchIndexResponse struct {
	// Done and Total are numbers of events: all up to Done are in the index of those that
	// were there when it was begun.
	Done     int64 `json:"done"`
	Total    int64 `json:"total"`
	Complete bool  `json:"complete"`
	// Behind is how much of what has happened since is still to be looked at.
	Behind int64 `json:"behind"`
}

// searchIndex says how far the index of messages has come.
func (s *Server) searchIndex(context.Context, endpoint.Caller, endpoint.Empty) (searchIndexResponse, error) {
	if s.Search == nil {
		return searchIndexResponse{}, mxerr.New(mxerr.NotFound, "Messages cannot be searched on this server")
	}
	p := s.Search.Progress()
	return searchIndexResponse{p.Done, p.Total, p.Done >= p.Total, p.Behind}, nil
}

// rebuildSearchIndex has the index of messages made anew, in the background.
func (s *Server) rebuildSearchIndex(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (searchIndexResponse, error) {
	if s.Search == nil {
		return s.searchIndex(ctx, c, endpoint.Empty{})
	}
	if err := s.Search.Rebuild(ctx); err != nil {
		return searchIndexResponse{}, err
	}
	return s.searchIndex(ctx, c, endpoint.Empty{})
}
