package adminapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/internal/profile"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// userRoutes serve https://element-hq.github.io/synapse/latest/admin_api/user_admin_api.html
func (s *Server) userRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_synapse/admin/v2/users", policy(), s.usersWithoutDeactivated),
		endpoint.On("GET /_synapse/admin/v3/users", policy(), s.users),
		endpoint.On("GET /_synapse/admin/v2/users/{userID}", policy(), s.user),
		endpoint.On("PUT /_synapse/admin/v2/users/{userID}", policy(), s.putUser),
		endpoint.On("GET /_synapse/admin/v1/users/{userID}/admin", policy(), s.isAdmin),
		endpoint.On("PUT /_synapse/admin/v1/users/{userID}/admin", policy(), s.setAdmin),
		endpoint.On("GET /_synapse/admin/v1/users/{userID}/joined_rooms", policy(), s.joinedRooms),
		endpoint.On("GET /_synapse/admin/v1/users/{userID}/memberships", policy(), s.memberships),
		endpoint.On("GET /_synapse/admin/v1/users/{userID}/pushers", policy(), s.pushers),
		endpoint.On("GET /_synapse/admin/v1/whois/{userID}", policy(), s.whois),
		endpoint.On("GET /_synapse/admin/v2/users/{userID}/devices", policy(), s.devices),
		endpoint.On("DELETE /_synapse/admin/v2/users/{userID}/devices/{deviceID}", policy(), s.deleteDevice),
		endpoint.On("POST /_synapse/admin/v1/deactivate/{userID}", policy(), s.deactivate),
		endpoint.On("POST /_synapse/admin/v1/reset_password/{userID}", policy(), s.resetPassword),
		endpoint.On("PUT /_synapse/admin/v1/suspend/{userID}", policy(), s.suspend),
		endpoint.On("PUT /_parley/admin/v1/lock/{userID}", policy(), s.lock),
		endpoint.On("GET /_synapse/admin/v1/auth_providers/{provider}/users/{externalID}", policy(), s.knownElsewhere),
		endpoint.On("GET /_synapse/admin/v1/threepid/{medium}/users/{address}", policy(), s.owner),
	}
}

type usersRequest struct {
	page
	UserID      string `query:"user_id"`
	Name        string `query:"name"`
	Guests      *bool  `query:"guests"`
	Admins      *bool  `query:"admins"`
	Deactivated *bool  `query:"deactivated"`
	Locked      *bool  `query:"locked"`
	OrderBy     string `query:"order_by"`
}

// A user is an account in a list.
type user struct {
	Name        id.UserID `json:"name"`
	Displayname *string   `json:"displayname"`
	AvatarURL   *string   `json:"avatar_url"`
	Guest       bool      `json:"is_guest"`
	Admin       bool      `json:"admin"`
	Deactivated bool      `json:"deactivated"`
	Locked      bool      `json:"locked"`
	Suspended   bool      `json:"suspended"`
	Created     int64     `json:"creation_ts"`
	Erased      bool      `json:"erased"`
	// What there is none of here, and tools ask for.
	Type         *string `json:"user_type"`
	ShadowBanned bool    `json:"shadow_banned"`
}

func (s *Server) userOf(ctx context.Context, info account.Info) (user, error) {
	fields, err := s.Profiles.Get(ctx, info.UserID)
	field := func(name string) *string {
		if text, ok := fields.Get(name).Text(); ok {
			return &text
		}
		return nil
	}
	return user{
		Name: info.UserID, Displayname: field(profile.Displayname), AvatarURL: field(profile.AvatarURL), Guest: info.Guest, Admin: info.Admin,
		Deactivated: info.Deactivated, Locked: info.Locked, Suspended: info.Suspended, Erased: info.Erased,
		Created: info.Created.UnixMilli(),
	}, err
}

type usersResponse struct {
	Users []user `json:"users"`
	Next  *int64 `json:"next_token,omitempty"`
	Total int64  `json:"total"`
}

// usersWithoutDeactivated is the older list: accounts that were deactivated are in
// there only if they are asked for, beside the others.
func (s *Server) usersWithoutDeactivated(ctx context.Context, c endpoint.Caller, req usersRequest) (usersResponse, error) {
	if req.Deactivated != nil && *req.Deactivated {
		req.Deactivated = nil
	} else {
		req.Deactivated = new(bool)
	}
	return s.users(ctx, c, req)
}

func (s *Server) users(ctx context.Context, _ endpoint.Caller, req usersRequest) (usersResponse, error) {
	skip, limit, backwards, err := req.bounds("f")
	if err != nil {
		return usersResponse{}, err
	}
	q := account.Query{Part: req.UserID, Admins: req.Admins, Deactivated: req.Deactivated, Backwards: backwards, Skip: skip, Limit: limit}
	if req.Name != "" {
		q.Part = req.Name
	}
	// These two let in, and do not ask for.
	no := new(bool)
	if req.Guests != nil && !*req.Guests {
		q.Guests = no
	}
	if req.Locked != nil && !*req.Locked {
		q.Locked = no
	}
	switch req.OrderBy {
	case "", "name":
	case "creation_ts":
		q.ByAge = true
	default:
		return usersResponse{}, mxerr.New(mxerr.InvalidParam, "Users are ordered by name or creation_ts")
	}
	list, total, err := s.Accounts.Survey(ctx, q)
	resp := usersResponse{Users: []user{}, Next: next(skip, len(list), total), Total: total}
	for _, info := range list {
		if err != nil {
			break
		}
		var u user
		u, err = s.userOf(ctx, info)
		resp.Users = append(resp.Users, u)
	}
	return resp, err
}

type userRequest struct {
	UserID id.UserID `path:"userID"`
}

type userResponse struct {
	user
	LastSeen    *int64               `json:"last_seen_ts"`
	ThreePIDs   []threePID           `json:"threepids"`
	ExternalIDs []account.ExternalID `json:"external_ids"`
}

func (s *Server) user(ctx context.Context, _ endpoint.Caller, req userRequest) (userResponse, error) {
	resp := userResponse{ThreePIDs: []threePID{}, ExternalIDs: []account.ExternalID{}}
	info, err := s.Accounts.Info(ctx, req.UserID)
	if err != nil {
		return resp, err
	}
	if resp.user, err = s.userOf(ctx, info); err != nil {
		return resp, err
	}
	if resp.ThreePIDs, err = s.threePIDs(ctx, req.UserID); err != nil {
		return resp, err
	}
	known, err := s.Accounts.ExternalIDs(ctx, req.UserID)
	if err != nil {
		return resp, err
	}
	resp.ExternalIDs = append(resp.ExternalIDs, known...)
	devices, err := s.Accounts.Devices(ctx, req.UserID)
	for _, d := range devices {
		if seen := d.Seen.UnixMilli(); resp.LastSeen == nil || *resp.LastSeen < seen {
			resp.LastSeen = &seen
		}
	}
	return resp, err
}

type putUserRequest struct {
	userRequest
	Password    *string               `json:"password"`
	Logout      *bool                 `json:"logout_devices"`
	Displayname *string               `json:"displayname"`
	AvatarURL   *string               `json:"avatar_url"`
	Admin       *bool                 `json:"admin"`
	Deactivated *bool                 `json:"deactivated"`
	Locked      *bool                 `json:"locked"`
	Suspended   *bool                 `json:"suspended"`
	ExternalIDs *[]account.ExternalID `json:"external_ids"`
	ThreePIDs   *[]struct {
		Medium  string `json:"medium"`
		Address string `json:"address"`
	} `json:"threepids"`
}

// putUser makes an account, or changes one.
func (s *Server) putUser(ctx context.Context, c endpoint.Caller, req putUserRequest) (endpoint.Reply[userResponse], error) {
	reply := endpoint.Reply[userResponse]{Status: http.StatusOK}
	if err := s.local(req.UserID); err != nil {
		return reply, err
	}
	contacts, err := req.contacts()
	if err != nil {
		return reply, err
	}
	_, err = s.Accounts.Info(ctx, req.UserID)
	switch {
	case errors.Is(err, mxerr.NotFound):
		reply.Status = http.StatusCreated
		err = s.createUser(ctx, req)
	case err == nil:
		err = s.changeUser(ctx, c, req)
	}
	if err == nil && req.ThreePIDs != nil {
		err = s.Accounts.SetContacts(ctx, req.UserID, contacts)
	}
	if err == nil && req.ExternalIDs != nil {
		err = s.Accounts.SetExternalIDs(ctx, req.UserID, *req.ExternalIDs)
	}
	if err == nil {
		err = s.putProfile(ctx, req)
	}
	if err == nil {
		reply.Body, err = s.user(ctx, c, req.userRequest)
	}
	return reply, err
}

func (s *Server) createUser(ctx context.Context, req putUserRequest) (err error) {
	if strings.ToLower(string(req.UserID)) != string(req.UserID) {
		return mxerr.New(mxerr.InvalidUsername, "The IDs of new users have no capitals")
	}
	n := account.NewAccount{Localpart: req.UserID.Localpart(), Admin: req.Admin != nil && *req.Admin}
	if req.Password != nil {
		if n.Password, err = s.Accounts.HashPassword(ctx, *req.Password); err != nil {
			return err
		}
	}
	if _, err = s.Accounts.Create(ctx, n); err != nil {
		return err
	}
	for _, set := range s.flags(req) {
		if err := set(ctx); err != nil {
			return err
		}
	}
	if req.Deactivated != nil && *req.Deactivated {
		return s.Accounts.Deactivate(ctx, req.UserID, false)
	}
	return nil
}

// flags are what is to be set of an account that is there.
func (s *Server) flags(req putUserRequest) (list []func(context.Context) error) {
	add := func(value *bool, set func(context.Context, id.UserID, bool) error) {
		if value != nil {
			list = append(list, func(ctx context.Context) error { return set(ctx, req.UserID, *value) })
		}
	}
	add(req.Locked, s.Accounts.SetLocked)
	add(req.Suspended, s.Accounts.SetSuspended)
	return list
}

func (s *Server) changeUser(ctx context.Context, c endpoint.Caller, req putUserRequest) error {
	gone := req.Deactivated != nil && *req.Deactivated
	if gone || req.Locked != nil && *req.Locked || req.Admin != nil && !*req.Admin || req.Suspended != nil && *req.Suspended {
		if err := other(c, req.UserID); err != nil {
			return err
		}
	}
	if gone {
		return s.Accounts.Deactivate(ctx, req.UserID, false)
	}
	if req.Deactivated != nil {
		if err := s.Accounts.Reactivate(ctx, req.UserID); err != nil {
			return err
		}
	}
	if req.Password != nil {
		if err := s.setPassword(ctx, req.UserID, *req.Password, req.Logout == nil || *req.Logout); err != nil {
			return err
		}
	}
	flags := s.flags(req)
	if req.Admin != nil {
		flags = append(flags, func(ctx context.Context) error { return s.Accounts.SetAdmin(ctx, req.UserID, *req.Admin) })
	}
	for _, set := range flags {
		if err := set(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) putProfile(ctx context.Context, req putUserRequest) error {
	for _, field := range []struct {
		key   string
		value *string
	}{{profile.Displayname, req.Displayname}, {profile.AvatarURL, req.AvatarURL}} {
		if field.value != nil {
			if err := s.Profiles.Set(ctx, req.UserID, field.key, canonjson.Text(*field.value)); err != nil {
				return err
			}
		}
	}
	return nil
}

// other refuses administrators who would lock themselves out.
func other(c endpoint.Caller, user id.UserID) error {
	if c.UserID == user {
		return mxerr.New(mxerr.Forbidden, "You cannot do this to yourself")
	}
	return nil
}

type adminResponse struct {
	Admin bool `json:"admin"`
}

func (s *Server) isAdmin(ctx context.Context, _ endpoint.Caller, req userRequest) (adminResponse, error) {
	info, err := s.Accounts.Info(ctx, req.UserID)
	return adminResponse{info.Admin}, err
}

type setAdminRequest struct {
	userRequest
	Admin bool `json:"admin" required:"true"`
}

func (s *Server) setAdmin(ctx context.Context, c endpoint.Caller, req setAdminRequest) (endpoint.Empty, error) {
	if !req.Admin {
		if err := other(c, req.UserID); err != nil {
			return endpoint.Empty{}, err
		}
	}
	return endpoint.Empty{}, s.Accounts.SetAdmin(ctx, req.UserID, req.Admin)
}

type joinedRoomsResponse struct {
	Joined []id.RoomID `json:"joined_rooms"`
	Total  int         `json:"total"`
}

func (s *Server) joinedRooms(ctx context.Context, _ endpoint.Caller, req userRequest) (joinedRoomsResponse, error) {
	rooms, err := s.Rooms.Joined(ctx, req.UserID)
	return joinedRoomsResponse{append([]id.RoomID{}, rooms...), len(rooms)}, err
}

type membershipsResponse struct {
	Memberships map[id.RoomID]string `json:"memberships"`
}

func (s *Server) memberships(ctx context.Context, _ endpoint.Caller, req userRequest) (membershipsResponse, error) {
	resp := membershipsResponse{map[id.RoomID]string{}}
	rooms, err := s.Rooms.Rooms(ctx, req.UserID)
	for _, m := range rooms {
		resp.Memberships[m.RoomID] = m.Membership
	}
	return resp, err
}
