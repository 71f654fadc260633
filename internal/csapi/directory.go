package csapi

import (
	"context"
	"errors"

	"parley/internal/endpoint"
	"parley/internal/remote"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) directoryRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/directory/room/{roomAlias}", endpoint.Policy{Auth: endpoint.None}, s.resolveAlias),
		endpoint.On("PUT /_matrix/client/v3/directory/room/{roomAlias}",
			endpoint.Policy{Auth: endpoint.User, Class: classCreate}, s.createAlias),
		endpoint.On("DELETE /_matrix/client/v3/directory/room/{roomAlias}",
			endpoint.Policy{Auth: endpoint.User, Class: classWrite}, s.deleteAlias),
		endpoint.On("GET /_matrix/client/v3/rooms/{roomID}/aliases", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.aliases),
	}
}

type aliasRequest struct {
	Alias id.RoomAlias `path:"roomAlias"`
}

type aliasResponse struct {
	RoomID  id.RoomID       `json:"room_id"`
	Servers []id.ServerName `json:"servers"`
}

// resolveAlias serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directoryroomroomalias
func (s *Server) resolveAlias(ctx context.Context, _ endpoint.Caller, req aliasRequest) (aliasResponse, error) {
	roomID, servers, err := s.resolve(ctx, req.Alias)
	if servers == nil {
		servers = []id.ServerName{s.Name}
	}
	return aliasResponse{roomID, servers}, err
}

// resolve returns the room of an alias, and, of an alias of another server, which
// servers are in it.
func (s *Server) resolve(ctx context.Context, a id.RoomAlias) (id.RoomID, []id.ServerName, error) {
	if a.Server() == s.Name {
		roomID, err := s.Services.Resolve(ctx, a)
		return roomID, nil, err
	}
	roomID, servers, err := s.Remote.Directory(ctx, a)
	if refusal, ok := errors.AsType[*remote.Refusal](err); ok && refusal.Code == mxerr.NotFound {
		return "", nil, mxerr.New(mxerr.NotFound, "There is no room %s", a)
	}
	if err != nil {
		return "", nil, mxerr.New(mxerr.NotFound, "The server of %s could not be asked", a).Wrap(err)
	}
	return roomID, servers, nil
}

type createAliasRequest struct {
	aliasRequest
	RoomID id.RoomID `json:"room_id" required:"true"`
}

// createAlias serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directoryroomroomalias
func (s *Server) createAlias(ctx context.Context, c endpoint.Caller, req createAliasRequest) (endpoint.Empty, error) {
	if err := notSuspended(c); err != nil {
		return endpoint.Empty{}, err
	}
	if err := s.mayMakeAlias(c, req.Alias); err != nil {
		return endpoint.Empty{}, err
	}
	if c.AppService == "" {
		// Else everybody could squat on names for the rooms of others.
		if err := s.mustBeJoined(ctx, c, req.RoomID); err != nil {
			return endpoint.Empty{}, err
		}
	} else if _, err := s.Rooms.Num(ctx, req.RoomID); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Aliases.Create(ctx, req.Alias, req.RoomID, c.UserID)
}

// deleteAlias serves https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3directoryroomroomalias
func (s *Server) deleteAlias(ctx context.Context, c endpoint.Caller, req aliasRequest) (endpoint.Empty, error) {
	if err := notSuspended(c); err != nil {
		return endpoint.Empty{}, err
	}
	a, err := s.Aliases.Lookup(ctx, req.Alias)
	if err != nil {
		return endpoint.Empty{}, err
	}
	if err := s.mayMakeAlias(c, req.Alias); err != nil {
		return endpoint.Empty{}, err
	}
	if a.Creator != c.UserID && c.AppService == "" {
		if err := s.mayName(ctx, c, a.Room); err != nil {
			return endpoint.Empty{}, err
		}
	}
	return endpoint.Empty{}, s.disown(ctx, c, a.Room, req.Alias)
}

// mayName refuses a caller who may not say by what others find a room: that is
// who administers the server, or may set the canonical alias.
func (s *Server) mayName(ctx context.Context, c endpoint.Caller, roomID id.RoomID) error {
	if c.Admin {
		return nil
	}
	may, err := s.Rooms.MaySend(ctx, roomID, c.UserID, typeCanonicalAlias, true)
	if err == nil && !may {
		return mxerr.New(mxerr.Forbidden, "You may not change how room %s is found", roomID)
	}
	return err
}

type aliasesRequest struct {
	RoomID id.RoomID `path:"roomID"`
}

type aliasesResponse struct {
	Aliases []id.RoomAlias `json:"aliases"`
}

// aliases serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidaliases
func (s *Server) aliases(ctx context.Context, c endpoint.Caller, req aliasesRequest) (aliasesResponse, error) {
	if err := s.mayListAliases(ctx, c, req.RoomID); err != nil {
		return aliasesResponse{}, err
	}
	aliases, err := s.Aliases.Of(ctx, req.RoomID)
	return aliasesResponse{aliases}, err
}

// mayListAliases refuses a caller who does not get to see a room, and one of
// whom that cannot be said because there is no such room.
func (s *Server) mayListAliases(ctx context.Context, c endpoint.Caller, roomID id.RoomID) error {
	if c.Admin {
		return nil
	}
	refusal := s.mustBeJoined(ctx, c, roomID)
	if !errors.Is(refusal, mxerr.Forbidden) {
		return refusal
	}
	summary, err := s.Rooms.Summary(ctx, roomID)
	switch {
	case errors.Is(err, mxerr.NotFound):
		return refusal
	case err == nil && !summary.WorldReadable:
		return refusal
	}
	return err
}
