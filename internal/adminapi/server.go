package adminapi

import (
	"context"
	"slices"

	"parley/internal/account"
	"parley/internal/alias"
	"parley/internal/appservice"
	"parley/internal/endpoint"
	"parley/internal/media"
	"parley/internal/profile"
	"parley/internal/push"
	"parley/internal/report"
	"parley/internal/room"
	"parley/internal/search"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Parts are the domains that are administered.
type Parts struct {
	Name     id.ServerName
	Version  string // of parley
	Rooms    *room.Engine
	Accounts *account.Accounts
	Profiles *profile.Keeper
	Aliases  *alias.Directory
	Reports  *report.Store
	Media    *media.Store
	Services *appservice.Services
	Pushers  *push.Pushers
	Push     *push.Sender
	Search   *search.Index // nil: there is none
	// Notify sends a server notice to a user, as the request of a device that a
	// transaction ID names, and returns its event. Nil: there are none.
	Notify func(ctx context.Context, to id.UserID, eventType string, stateKey *string, content canonjson.Value, txn room.Transaction) (id.EventID, error)
}

// Server has the handlers of the API.
type Server struct {
	Parts
}

// New returns the API over its parts.
func New(p Parts) *Server { return &Server{Parts: p} }

// Routes returns all routes of the API.
func (s *Server) Routes() []endpoint.Route {
	return slices.Concat(
		s.versionRoutes(),
		s.reportRoutes(),
		s.roomRoutes(),
		s.deletionRoutes(),
		s.purgeRoutes(),
		s.memberRoutes(),
		s.userRoutes(),
		s.tokenRoutes(),
		s.noticeRoutes(),
		s.mediaRoutes(),
		s.appServiceRoutes(),
		s.searchRoutes(),
	)
}

// policy is that of all routes.
func policy() endpoint.Policy { return endpoint.Policy{Auth: endpoint.Admin} }

func (s *Server) versionRoutes() []endpoint.Route {
	return []endpoint.Route{endpoint.On("GET /_synapse/admin/v1/server_version", policy(), s.version)}
}

type versionResponse struct {
	Version string `json:"server_version"`
}

func (s *Server) version(context.Context, endpoint.Caller, endpoint.Empty) (versionResponse, error) {
	return versionResponse{"parley " + s.Version}, nil
}

// page is which part of a list is wanted.
type page struct {
	From  *int64 `query:"from"`
	Limit *int64 `query:"limit"`
	Dir   string `query:"dir"`
}

// How many there are in a page, and at most.
const (
	perPage     = 100
	mostPerPage = 1000
)

// bounds checks a page. Backwards is as dir says, or by default.
func (p page) bounds(byDefault string) (skip, limit int64, backwards bool, err error) {
	limit = perPage
	if p.From != nil {
		skip = *p.From
	}
	if p.Limit != nil {
		limit = min(*p.Limit, mostPerPage)
	}
	if skip < 0 || limit < 0 {
		return 0, 0, false, mxerr.New(mxerr.InvalidParam, "from and limit are not to be negative")
	}
	dir := p.Dir
	if dir == "" {
		dir = byDefault
	}
	if dir != "f" && dir != "b" {
		return 0, 0, false, mxerr.New(mxerr.InvalidParam, "dir is neither f nor b")
	}
	return skip, limit, dir == "b", nil
}

// next returns where the page after another begins, nil if there is none.
func next(skip int64, count int, total int64) *int64 {
	if end := skip + int64(count); end < total && count > 0 {
		return &end
	}
	return nil
}

// named returns the room that an ID or alias is of.
func (s *Server) named(ctx context.Context, name string) (id.RoomID, error) {
	if a, err := id.ParseRoomAlias(name); err == nil {
		return s.Aliases.Resolve(ctx, a)
	}
	roomID, err := id.ParseRoomID(name)
	if err != nil {
		return "", mxerr.New(mxerr.InvalidParam, "%q is neither a room ID nor an alias", name)
	}
	return roomID, nil
}

// local refuses users of other servers.
func (s *Server) local(user id.UserID) error {
	if user.Server() != s.Name {
		return mxerr.New(mxerr.InvalidParam, "%s is not a user of this server", user)
	}
	return nil
}

// orNull is a text that is null where there is none, as tools expect it.
func orNull[T ~string](text T) *T {
	if text == "" {
		return nil
	}
	return &text
}
