package csapi

import (
	"context"
	"log/slog"
	"slices"

	"parley/internal/account"
	"parley/internal/accountdata"
	"parley/internal/alias"
	"parley/internal/appservice"
	"parley/internal/delay"
	"parley/internal/directory"
	"parley/internal/e2ee"
	"parley/internal/endpoint"
	"parley/internal/ephemeral"
	"parley/internal/feed"
	"parley/internal/filter"
	"parley/internal/gateway"
	"parley/internal/identity"
	"parley/internal/inherit"
	"parley/internal/media"
	"parley/internal/profile"
	"parley/internal/push"
	"parley/internal/receipt"
	"parley/internal/remote"
	"parley/internal/rendezvous"
	"parley/internal/report"
	"parley/internal/room"
	"parley/internal/search"
	"parley/internal/sso"
	"parley/internal/subscription"
	"parley/internal/todevice"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Parts are the domains that the API is a face of.
type Parts struct {
	Name     id.ServerName
	Settings Settings
	Rooms    *room.Engine
	Remote   *remote.Servers
	// RemoteProfiles are those of users of other servers.
	RemoteProfiles *remote.Profiles
	Accounts       *account.Accounts
	// OAuthPage, unless nil, returns for a caller whose access token is one of the OAuth
	// 2.0 API where the user confirms what a session of user-interactive authentication
	// is about, nil for others. The page has it noted by Accounts.ConfirmByOAuth.
	OAuthPage     func(context.Context, endpoint.Caller) func(session string) string
	Users         users
	Doorman       doorman
	Receipts      *receipt.Book
	Typing        *ephemeral.Board
	Presence      *ephemeral.Presence // nil if nobody is to know of it
	Profiles      *profile.Keeper
	Aliases       *alias.Directory
	Heirs         *inherit.Keeper
	Keys          *e2ee.Keys
	Backups       *e2ee.Backups
	Inbox         Inbox
	Identity      *identity.Servers
	Filters       *filter.Store
	Reports       *report.Store
	AccountData   *accountdata.Store
	Feed          *feed.Feed
	ToDevice      *todevice.Store
	Delayed       *delay.Store
	Subscriptions *subscription.Store
	Rendezvous    *rendezvous.Sessions // nil if there is none
	Notified      *push.History
	Pushers       *push.Pushers
	PushGateway   *gateway.Gateway // nil if this server is none
	Media         *media.Store
	Services      *appservice.Services
	SSO           *sso.Logins // nil if there are no identity providers
	Log           *slog.Logger
	Search        *search.Index // nil if there is none
	UserDirectory *directory.Directory
}

// Server has the handlers of the API.
type Server struct {
	Parts
}

// New returns the API over its parts, all of which must be there but
// where it says otherwise.
func New(p Parts) *Server { return &Server{Parts: p} }

// Routes returns all routes of the API.
func (s *Server) Routes() []endpoint.Route {
	return slices.Concat(
		s.createRoomRoutes(),
		s.membershipRoutes(),
		s.upgradeRoutes(),
		s.sendRoutes(),
		s.delayedRoutes(),
		s.roomRoutes(),
		s.messageRoutes(),
		s.contextRoutes(),
		s.relationRoutes(),
		s.threadRoutes(),
		s.threadSubscriptionRoutes(),
		s.timestampRoutes(),
		s.syncRoutes(),
		s.slidingSyncRoutes(),
		s.oldSyncRoutes(),
		s.receiptRoutes(),
		s.readMarkerRoutes(),
		s.typingRoutes(),
		s.voipRoutes(),
		s.presenceRoutes(),
		s.profileRoutes(),
		s.mutualRoomRoutes(),
		s.reportRoutes(),
		s.directoryRoutes(),
		s.publicRoomRoutes(),
		s.appServiceRoutes(),
		s.thirdPartyRoutes(),
		s.searchRoutes(),
		s.userDirectoryRoutes(),
		s.spaceRoutes(),
		s.roomSummaryRoutes(),
		s.filterRoutes(),
		s.accountDataRoutes(),
		s.tagRoutes(),
		s.pushRuleRoutes(),
		s.notificationRoutes(),
		s.pusherRoutes(),
		s.pushGatewayRoutes(),
		s.unsubscribeRoutes(),
		s.versionsRoutes(),
		s.wellKnownRoutes(),
		s.capabilitiesRoutes(),
		s.registrationRoutes(),
		s.registrationTokenRoutes(),
		s.synapseRegisterRoutes(),
		s.authFallbackRoutes(),
		s.loginFallbackRoutes(),
		s.loginRoutes(),
		s.ssoRoutes(),
		s.rendezvousRoutes(),
		s.refreshRoutes(),
		s.loginTokenRoutes(),
		s.openIDRoutes(),
		s.logoutRoutes(),
		s.whoamiRoutes(),
		s.deviceRoutes(),
		s.keyRoutes(),
		s.crossSigningRoutes(),
		s.keyBackupRoutes(),
		s.toDeviceRoutes(),
		s.dehydratedRoutes(),
		s.passwordRoutes(),
		s.contactRoutes(),
		s.tokenRoutes(),
		s.validationRoutes(),
		s.deactivationRoutes(),
		s.adminRoutes(),
		s.contentRoutes(),
	)
}

// A doorman has guests leave rooms that do not want them.
type doorman interface {
	// Look has the guests of a room leave it, if they have to. It does not wait.
	Look(room id.RoomID)
}

// own refuses a caller who asks for what belongs to another user.
func own(c endpoint.Caller, user id.UserID) error {
	if c.UserID != user {
		return mxerr.New(mxerr.Forbidden, "This belongs to another user")
	}
	return nil
}

// mustBeJoined refuses a caller who is not joined to a room, or names one that
// does not exist.
func (s *Server) mustBeJoined(ctx context.Context, c endpoint.Caller, roomID id.RoomID) error {
	membership, err := s.Rooms.Membership(ctx, roomID, c.UserID)
	if err == nil && membership != event.MembershipJoin {
		return notInRoom(roomID)
	}
	return err
}

func notInRoom(roomID id.RoomID) *mxerr.Error {
	return mxerr.New(mxerr.Forbidden, "You are not in room %s", roomID)
}

// notSuspended refuses a caller who is suspended.
// https://spec.matrix.org/v1.19/client-server-api/#account-suspension
func notSuspended(c endpoint.Caller) error {
	if c.Suspended {
		return mxerr.New(mxerr.UserSuspended, "Your account is suspended")
	}
	return nil
}
