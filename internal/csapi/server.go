package csapi

import (
	"slices"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Parts are the domains that the API is a face of.
type Parts struct {
	Name  id.ServerName
	Rooms *room.Engine
}

// Server has the handlers of the API.
type Server struct {
	Parts
}

// New returns the API over its parts, all of which must be there.
func New(p Parts) *Server { return &Server{Parts: p} }

// Routes returns all routes of the API.
func (s *Server) Routes() []endpoint.Route {
	return slices.Concat[[]endpoint.Route]()
}

// own refuses a caller who asks for what belongs to another user.
func own(c endpoint.Caller, user id.UserID) error {
	if c.UserID != user {
		return mxerr.New(mxerr.Forbidden, "This belongs to another user")
	}
	return nil
}
