package ssapi

import (
	"context"
	"slices"

	"parley/internal/devicelist"
	"parley/internal/e2ee"
	"parley/internal/endpoint"
	"parley/internal/ephemeral"
	"parley/internal/inbound"
	"parley/internal/media"
	"parley/internal/profile"
	"parley/internal/receipt"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/internal/todevice"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// Parts are what the API is a face of.
type Parts struct {
	Name id.ServerName
	// Version is that of the program.
	Version  string
	Keys     *remote.OwnKeys
	Ring     *remote.KeyRing
	Health   *remote.Health
	Verifier *event.Verifier
	Rooms    *room.Engine
	Inbox    *inbound.Inbox
	Receipts *receipt.Book
	Typing   *ephemeral.Board
	Presence *ephemeral.Presence // nil if nobody is to know of it
	Users    users
	Profiles *profile.Keeper
	// Resolve returns the room that an alias leads to, or M_NOT_FOUND.
	Resolve  func(ctx context.Context, alias id.RoomAlias) (id.RoomID, error)
	Identity interface {
		// Verify checks that a proof was signed by a key, still valid, of the content of an
		// invite that was left for an address.
		Verify(ctx context.Context, proof, content canonjson.Value) error
	}
	Devices  *e2ee.Keys
	ToDevice *todevice.Store
	// DeviceLists are those of users of this server, and what is known of others'.
	DeviceLists *devicelist.Store
	Media       *media.Store
	Settings    Settings
}

// Settings are what the operator decides.
type Settings struct {
	// Delegate is where other servers are to find this one; empty: where its name
	// says.
	Delegate id.ServerName
	// ProfilesOfSharersOnly says that a profile is only for servers that share a room
	// with the user, unless the user is in one that everybody may join or read.
	ProfilesOfSharersOnly bool
}

// users know who has an account here.
type users interface {
	Exists(ctx context.Context, user id.UserID) (bool, error)
	// OpenIDUser returns the user whom an OpenID token was given to.
	OpenIDUser(ctx context.Context, token string) (id.UserID, error)
}

// Server has the handlers of the API.
type Server struct {
	Parts
}

// New returns the API over its parts, all of which must be there.
func New(p Parts) *Server { return &Server{Parts: p} }

// Routes returns all routes of the API.
func (s *Server) Routes() []endpoint.Route {
	return slices.Concat(
		s.versionRoutes(),
		s.keyRoutes(),
		s.notaryRoutes(),
		s.queryRoutes(),
		s.eventRoutes(),
		s.backfillRoutes(),
		s.handshakeRoutes(),
		s.inviteRoutes(),
		s.thirdPartyInviteRoutes(),
		s.transactionRoutes(),
		s.timestampRoutes(),
		s.spaceRoutes(),
		s.publicRoomRoutes(),
		s.openIDRoutes(),
		s.userKeyRoutes(),
		s.userDeviceRoutes(),
		s.wellKnownRoutes(),
		s.contentRoutes(),
	)
}

// The classes of endpoints that share a rate limit.
const (
	classNotary endpoint.Class = "notary" // makes this server ask others
	classServed endpoint.Class = "served" // costs a lot to answer
	classSent   endpoint.Class = "sent"   // brings events

	// ClassStranger is of requests that are not signed by the server that they claim
	// to be from, as far as can be found out.
	ClassStranger endpoint.Class = "stranger"
)

// Limits are the rate limits by default, per server or, where a server need not
// say who it is, per address.
func Limits() map[endpoint.Class]endpoint.Limit {
	return map[endpoint.Class]endpoint.Limit{
		classNotary: {PerSecond: 5, Burst: 100},
		classServed: {PerSecond: 50, Burst: 500},
		classSent:   {PerSecond: 100, Burst: 1000},

		ClassStranger: {PerSecond: 1, Burst: 100},
	}
}

// signed is the policy of what servers may do that say who they are.
func signed() endpoint.Policy { return endpoint.Policy{Auth: endpoint.Server, Class: classServed} }
