package adminapi

import (
	"context"
	"slices"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// roomRoutes serve https://element-hq.github.io/synapse/latest/admin_api/rooms.html
func (s *Server) roomRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_synapse/admin/v1/rooms", policy(), s.rooms),
		endpoint.On("GET /_synapse/admin/v1/rooms/{roomID}", policy(), s.roomDetails),
		endpoint.On("GET /_synapse/admin/v1/rooms/{roomID}/members", policy(), s.roomMembers),
		endpoint.On("GET /_synapse/admin/v1/rooms/{roomID}/state", policy(), s.roomState),
		endpoint.On("GET /_synapse/admin/v1/rooms/{roomID}/block", policy(), s.blocked),
		endpoint.On("PUT /_synapse/admin/v1/rooms/{roomID}/block", policy(), s.block),
	}
}

// aRoom is a room in a list.
type aRoom struct {
	RoomID            id.RoomID `json:"room_id"`
	Name              *string   `json:"name"`
	CanonicalAlias    *string   `json:"canonical_alias"`
	Joined            int64     `json:"joined_members"`
	LocalJoined       int64     `json:"joined_local_members"`
	Version           string    `json:"version"`
	Creator           id.UserID `json:"creator"`
	Encryption        *string   `json:"encryption"`
	Federatable       bool      `json:"federatable"`
	Public            bool      `json:"public"`
	JoinRules         *string   `json:"join_rules"`
	GuestAccess       *string   `json:"guest_access"`
	HistoryVisibility *string   `json:"history_visibility"`
	StateEvents       int64     `json:"state_events"`
	RoomType          *string   `json:"room_type"`
	// Events and Bytes are not of Synapse: how many events are stored, and about how
	// much room they and the states take on disk.
	Events int64 `json:"events"`
	Bytes  int64 `json:"bytes"`

	num room.Num
}

// describe fills in what the state of a room says.
func (s *Server) describe(ctx context.Context, o room.Overview) (r aRoom, root statetrie.Root, err error) {
	r = aRoom{RoomID: o.RoomID, Joined: o.Joined, Version: string(o.Version), Public: o.Published, Events: o.Events, Bytes: o.Bytes, num: o.Room}
	now, err := s.Rooms.Now(ctx, o.RoomID)
	if err != nil {
		return r, root, err
	}
	root = now.Root
	for _, part := range []struct {
		eventType, key string
		to             **string
	}{
		{"m.room.name", "name", &r.Name}, {"m.room.canonical_alias", "alias", &r.CanonicalAlias},
		{"m.room.encryption", "algorithm", &r.Encryption}, {event.TypeJoinRules, "join_rule", &r.JoinRules},
		{"m.room.guest_access", "guest_access", &r.GuestAccess},
		{event.TypeHistoryVisibility, "history_visibility", &r.HistoryVisibility}, {event.TypeCreate, "type", &r.RoomType},
	} {
		e, err := s.Rooms.State(ctx, o.RoomID, root, event.Tuple{Type: part.eventType})
		if err != nil {
			return r, root, err
		}
		if e == nil {
			continue
		}
		if text, ok := e.Content().Get(part.key).Text(); ok {
			*part.to = orNull(text)
		}
		if part.eventType == event.TypeCreate {
			r.Creator = e.Sender()
			r.Federatable = e.Content().Get("m.federate").Kind() == canonjson.Absent || e.Content().Get("m.federate").True()
		}
	}
	r.StateEvents, err = s.Rooms.StateCount(ctx, o.Room, root)
	return r, root, err
}

type roomRequest struct {
	RoomID id.RoomID `path:"roomID"`
}

type roomDetails struct {
	aRoom
	Topic        *string `json:"topic"`
	Avatar       *string `json:"avatar"`
	LocalDevices int64   `json:"joined_local_devices"`
	Forgotten    bool    `json:"forgotten"`
}

func (s *Server) roomDetails(ctx context.Context, _ endpoint.Caller, req roomRequest) (d roomDetails, err error) {
	o, err := s.Rooms.Overview(ctx, req.RoomID)
	if err != nil {
		return d, err
	}
	if d.aRoom, _, err = s.describe(ctx, o); err != nil {
		return d, err
	}
	summary, err := s.Rooms.Summary(ctx, req.RoomID)
	if err != nil {
		return d, err
	}
	d.Topic, d.Avatar = orNull(summary.Topic), orNull(summary.AvatarURL)
	users, forgotten, err := s.Rooms.LocalJoined(ctx, o.Room)
	if err != nil {
		return d, err
	}
	d.LocalJoined, d.Forgotten = int64(len(users)), forgotten
	for _, user := range users {
		devices, err := s.Accounts.Devices(ctx, user)
		if err != nil {
			return d, err
		}
		d.LocalDevices += int64(len(devices))
	}
	return d, nil
}

type membersResponse struct {
	Members []id.UserID `json:"members"`
	Total   int         `json:"total"`
}

func (s *Server) roomMembers(ctx context.Context, _ endpoint.Caller, req roomRequest) (membersResponse, error) {
	resp := membersResponse{Members: []id.UserID{}}
	now, err := s.Rooms.Now(ctx, req.RoomID)
	if err != nil {
		return resp, err
	}
	items, err := s.Rooms.StateOfType(ctx, req.RoomID, now.Root, event.TypeMember)
	for _, it := range items {
		if user, _ := it.Event.StateKey(); it.Event.Membership() == event.MembershipJoin {
			resp.Members = append(resp.Members, id.UserID(user))
		}
	}
	slices.Sort(resp.Members)
	resp.Total = len(resp.Members)
	return resp, err
}

type stateRequest struct {
	roomRequest
	Type string `query:"type"`
}

type stateResponse struct {
	State []canonjson.Value `json:"state"`
}

func (s *Server) roomState(ctx context.Context, _ endpoint.Caller, req stateRequest) (stateResponse, error) {
	resp := stateResponse{State: []canonjson.Value{}}
	now, err := s.Rooms.Now(ctx, req.RoomID)
	if err != nil {
		return resp, err
	}
	var items []room.Item
	if req.Type != "" {
		items, err = s.Rooms.StateOfType(ctx, req.RoomID, now.Root, req.Type)
	} else {
		items, err = s.Rooms.FullState(ctx, req.RoomID, now.Root)
	}
	slices.SortFunc(items, func(a, b room.Item) int { return int(a.Num - b.Num) })
	for _, it := range items {
		resp.State = append(resp.State, it.Event.AppendClient(nil, event.Client{Unsigned: it.Event.Unsigned()}))
	}
	return resp, err
}

type blockResponse struct {
	Block bool      `json:"block"`
	By    id.UserID `json:"user_id,omitempty"`
}

func (s *Server) blocked(ctx context.Context, _ endpoint.Caller, req roomRequest) (blockResponse, error) {
	by, err := s.Rooms.Blocked(ctx, req.RoomID)
	return blockResponse{by != "", by}, err
}

type blockRequest struct {
	roomRequest
	Block bool `json:"block" required:"true"`
}

func (s *Server) block(ctx context.Context, c endpoint.Caller, req blockRequest) (blockResponse, error) {
	return blockResponse{Block: req.Block}, s.Rooms.Block(ctx, req.RoomID, c.UserID, req.Block)
}
