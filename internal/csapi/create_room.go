package csapi

import (
	"context"
	"errors"
	"slices"

	"parley/internal/alias"
	"parley/internal/endpoint"
	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

func (s *Server) createRoomRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/createRoom", endpoint.Policy{Auth: endpoint.User, Class: classCreate}, s.createRoom),
	}
}

type createRoomRequest struct {
	Visibility      string            `json:"visibility"`
	AliasName       string            `json:"room_alias_name"`
	Name            string            `json:"name"`
	Topic           string            `json:"topic"`
	Invite          []id.UserID       `json:"invite"`
	Version         roomver.Version   `json:"room_version"`
	CreationContent canonjson.Value   `json:"creation_content"`
	InitialState    []canonjson.Value `json:"initial_state"`
	InviteThreePIDs []threePID        `json:"invite_3pid"`
	Preset          room.Preset       `json:"preset"`
	IsDirect        bool              `json:"is_direct"`
	Levels          canonjson.Value   `json:"power_level_content_override"`
}

// Of what there may be in a new room, which is made at once. Each invite by address
// is asked of another server.
const (
	maxInvites      = 500
	maxInitialState = 500
	maxThreePIDs    = 20
)

type roomResponse struct {
	RoomID id.RoomID `json:"room_id"`
}

// createRoom serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom
func (s *Server) createRoom(ctx context.Context, c endpoint.Caller, req createRoomRequest) (roomResponse, error) {
	if err := notSuspended(c); err != nil {
		return roomResponse{}, err
	}
	n, err := req.room(c.UserID)
	if err != nil {
		return roomResponse{}, err
	}
	if req.AliasName != "" {
		if n.Alias, err = s.freeAlias(ctx, c, req.AliasName); err != nil {
			return roomResponse{}, err
		}
	}
	// They are looked up before there is a room, which nobody would want without.
	unknown, err := s.lookUp(ctx, req.InviteThreePIDs, &n)
	if err != nil {
		return roomResponse{}, err
	}
	defer s.Profiles.Hold(c.UserID)()
	if n.Profiles, err = s.memberProfiles(ctx, append([]id.UserID{c.UserID}, n.Invites...)); err != nil {
		return roomResponse{}, err
	}
	n.With = func(b *journal.Batch, roomID id.RoomID) error {
		if req.Visibility == visibilityPublic {
			s.Rooms.PublishWith(b, roomID)
		}
		if n.Alias == "" {
			return nil
		}
		return s.Aliases.CreateWith(b, n.Alias, roomID, c.UserID)
	}
	roomID, _, err := s.Rooms.Create(ctx, n)
	if err != nil {
		return roomResponse{}, roomInUse(err)
	}
	if err := s.Profiles.RetellUnless(ctx, c.UserID, n.Profiles[c.UserID]); err != nil {
		return roomResponse{}, err
	}
	for _, address := range unknown {
		if err := s.leaveInvite(ctx, c, roomID, address); err != nil {
			return roomResponse{}, err
		}
	}
	return roomResponse{roomID}, nil
}

// room checks the request as far as the room engine does not.
func (req createRoomRequest) room(creator id.UserID) (room.NewRoom, error) {
	n := room.NewRoom{
		Creator: creator, Version: req.Version, Preset: req.Preset, Name: req.Name, Topic: req.Topic, Direct: req.IsDirect,
	}
	switch {
	case len(req.Invite) > maxInvites || len(req.InviteThreePIDs) > maxThreePIDs:
		return n, mxerr.New(mxerr.InvalidParam, "A room can begin with %d invites, and %d by address", maxInvites, maxThreePIDs)
	case len(req.InitialState) > maxInitialState:
		return n, mxerr.New(mxerr.InvalidParam, "A room can begin with %d events in initial_state", maxInitialState)
	}
	for i, user := range req.Invite {
		if !slices.Contains(req.Invite[:i], user) {
			n.Invites = append(n.Invites, user)
		}
	}
	switch req.Visibility {
	case "", visibilityPrivate, visibilityPublic:
	default:
		return n, mxerr.New(mxerr.InvalidParam, "visibility is neither public nor private")
	}
	switch req.Preset {
	case "":
		if n.Preset = room.PrivateChat; req.Visibility == visibilityPublic {
			n.Preset = room.PublicChat
		}
	case room.PrivateChat, room.TrustedPrivateChat, room.PublicChat:
	default:
		return n, mxerr.New(mxerr.InvalidParam, "preset is not one that there is")
	}
	for _, part := range []struct {
		name string
		from canonjson.Value
		to   *canonjson.Value
	}{{"creation_content", req.CreationContent, &n.Content}, {"power_level_content_override", req.Levels, &n.Levels}} {
		switch part.from.Kind() {
		case canonjson.Absent, canonjson.Null:
		case canonjson.Object:
			*part.to = part.from
		default:
			return n, mxerr.New(mxerr.BadJSON, "%s is not an object", part.name)
		}
	}
	for _, v := range req.InitialState {
		d, err := initialState(v)
		if err != nil {
			return n, err
		}
		n.State = append(n.State, d)
	}
	return n, nil
}

func initialState(v canonjson.Value) (room.Draft, error) {
	eventType, ok := v.Get("type").Text()
	if !ok || eventType == "" {
		return room.Draft{}, mxerr.New(mxerr.BadJSON, "an event in initial_state has no type")
	}
	key, ok := v.Get("state_key").Text()
	if !ok && v.Get("state_key") != nil && v.Get("state_key").Kind() != canonjson.Null {
		return room.Draft{}, mxerr.New(mxerr.BadJSON, "an event in initial_state has a state_key that is not a string")
	}
	content := v.Get("content")
	if content.Kind() != canonjson.Object {
		return room.Draft{}, mxerr.New(mxerr.BadJSON, "an event in initial_state has no content")
	}
	return room.Draft{Type: eventType, StateKey: &key, Content: content}, nil
}

// freeAlias returns the alias with a localpart, or M_ROOM_IN_USE.
func (s *Server) freeAlias(ctx context.Context, c endpoint.Caller, localpart string) (id.RoomAlias, error) {
	a, err := id.NewRoomAlias(localpart, s.Name)
	if err != nil {
		return "", mxerr.New(mxerr.InvalidParam, "room_alias_name: %v", err)
	}
	if err := s.Aliases.Check(a); err != nil {
		return "", err
	}
	if err := s.mayMakeAlias(c, a); err != nil {
		return "", err
	}
	if _, err := s.Aliases.Lookup(ctx, a); err == nil {
		return "", roomInUse(alias.ErrTaken)
	} else if !errors.Is(err, mxerr.NotFound) {
		return "", err
	}
	return a, nil
}

func roomInUse(err error) error {
	if errors.Is(err, alias.ErrTaken) {
		return mxerr.New(mxerr.RoomInUse, "The alias is taken")
	}
	return err
}

// memberProfiles returns what member events say of users beside the membership.
func (s *Server) memberProfiles(ctx context.Context, users []id.UserID) (map[id.UserID]canonjson.Value, error) {
	if err := s.Services.Expect(ctx, users); err != nil {
		return nil, err
	}
	profiles := make(map[id.UserID]canonjson.Value, len(users))
	for _, user := range users {
		if user.Server() != s.Name || profiles[user] != nil {
			continue
		}
		var err error
		if profiles[user], err = s.Profiles.Member(ctx, user); err != nil {
			return nil, err
		}
	}
	return profiles, nil
}
