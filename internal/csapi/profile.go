package csapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// users know who has an account here.
type users interface {
	Exists(ctx context.Context, user id.UserID) (bool, error)
}

func (s *Server) profileRoutes() []endpoint.Route {
	// A change is an event in each of the user's rooms.
	change := endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classSend, BodyLimit: 128 << 10}
	look := endpoint.Policy{Auth: endpoint.None, Class: classRead} // it may make this server ask others
	if s.Settings.ProfilesOfSharersOnly {
		look.Auth = endpoint.Optional
	}
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/profile/{userID}", look, s.profile),
		endpoint.On("GET /_matrix/client/v3/profile/{userID}/{keyName}", look, s.profileField),
		endpoint.On("PUT /_matrix/client/v3/profile/{userID}/{keyName}", change, s.setProfileField),
		endpoint.On("DELETE /_matrix/client/v3/profile/{userID}/{keyName}", change, s.deleteProfileField),
	}
}

type profileRequest struct {
	UserID id.UserID `path:"userID"`
}

// profile serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3profileuserid
func (s *Server) profile(ctx context.Context, c endpoint.Caller, req profileRequest) (canonjson.Value, error) {
	if err := s.mayLookUp(ctx, c, req.UserID); err != nil {
		return nil, err
	}
	if req.UserID.Server() != s.Name {
		return s.RemoteProfiles.Get(ctx, req.UserID)
	}
	exists, err := s.Users.Exists(ctx, req.UserID)
	if err == nil && !exists {
		err = mxerr.New(mxerr.NotFound, "There is no profile of %s", req.UserID)
	}
	if err != nil {
		return nil, err
	}
	return s.Profiles.Get(ctx, req.UserID)
}

// mayLookUp refuses who may not see a profile. Who is in no room with the user, nor
// the user in one that everybody may enter or read, cannot tell whether there is
// such a user: https://spec.matrix.org/v1.19/client-server-api/#profiles
func (s *Server) mayLookUp(ctx context.Context, c endpoint.Caller, user id.UserID) error {
	if !s.Settings.ProfilesOfSharersOnly || c.UserID == user {
		return nil
	}
	if c.UserID != "" {
		if shared, err := s.Rooms.Share(ctx, c.UserID, user); err != nil || shared {
			return err
		}
	}
	public, err := s.Rooms.InPublic(ctx, user)
	if err == nil && !public {
		err = mxerr.New(mxerr.Forbidden, "You may not see the profile of %s", user)
	}
	return err
}

type profileFieldRequest struct {
	UserID id.UserID `path:"userID"`
	Key    string    `path:"keyName"`
}

// profileField serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3profileuseridkeyname
func (s *Server) profileField(ctx context.Context, c endpoint.Caller, req profileFieldRequest) (canonjson.Value, error) {
	fields, err := s.profile(ctx, c, profileRequest{req.UserID})
	if err != nil {
		return nil, err
	}
	value := fields.Get(req.Key)
	if value == nil {
		return nil, mxerr.New(mxerr.NotFound, "The profile of %s does not have this field", req.UserID)
	}
	return canonjson.Value("{}").With(req.Key, value), nil
}

type setProfileFieldRequest struct {
	profileFieldRequest
	Body canonjson.Value `body:"raw"`
}

// setProfileField serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3profileuseridkeyname
func (s *Server) setProfileField(ctx context.Context, c endpoint.Caller, req setProfileFieldRequest) (endpoint.Empty, error) {
	if err := s.mayChangeProfile(c, req.profileFieldRequest); err != nil {
		return endpoint.Empty{}, err
	}
	value := req.Body.Get(req.Key)
	if value == nil {
		return endpoint.Empty{}, mxerr.New(mxerr.MissingParam, "The body has to have the field that the path names")
	}
	return endpoint.Empty{}, s.Profiles.Set(ctx, c.UserID, req.Key, value)
}

// deleteProfileField serves https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3profileuseridkeyname
func (s *Server) deleteProfileField(ctx context.Context, c endpoint.Caller, req profileFieldRequest) (endpoint.Empty, error) {
	if err := s.mayChangeProfile(c, req); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Profiles.Delete(ctx, c.UserID, req.Key)
}

// mayChangeProfile refuses who may not change a field of a profile. Guests may
// have a name: https://spec.matrix.org/v1.19/client-server-api/#guest-access
func (s *Server) mayChangeProfile(c endpoint.Caller, req profileFieldRequest) error {
	if err := own(c, req.UserID); err != nil {
		return err
	}
	if !s.Settings.ProfileFields.mayChange(req.Key) {
		return mxerr.New(mxerr.Forbidden, "The server does not let users change this field of their profile")
	}
	if c.Guest && req.Key != "displayname" {
		return mxerr.New(mxerr.GuestAccessForbidden, "Guests may change their displayname only")
	}
	return notSuspended(c)
}
