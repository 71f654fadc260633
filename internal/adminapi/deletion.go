package adminapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/internal/room"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// deletionRoutes serve https://element-hq.github.io/synapse/latest/admin_api/rooms.html#delete-room-api
func (s *Server) deletionRoutes() []endpoint.Route {
	waits := policy()
	waits.Waits = true
	return []endpoint.Route{
		endpoint.On("DELETE /_synapse/admin/v1/rooms/{roomID}", waits, s.deleteRoomAndWait),
		endpoint.On("DELETE /_synapse/admin/v2/rooms/{roomID}", policy(), s.deleteRoom),
		// One of them is delete_status: /rooms/{roomID}/delete_status and
		// /rooms/delete_status/{deleteID} cannot both be patterns.
		endpoint.On("GET /_synapse/admin/v2/rooms/{first}/{second}", policy(), s.deleteStatus),
	}
}

type deleteRoomRequest struct {
	RoomID     id.RoomID `path:"roomID"`
	Creator    id.UserID `json:"new_room_user_id"`
	Name       string    `json:"room_name"`
	Message    string    `json:"message"`
	Block      bool      `json:"block"`
	Purge      *bool     `json:"purge"`
	ForcePurge bool      `json:"force_purge"`
}

func (s *Server) startDeletion(ctx context.Context, c endpoint.Caller, req deleteRoomRequest) (string, error) {
	if req.Creator != "" {
		if err := s.local(req.Creator); err != nil {
			return "", err
		}
	}
	if req.Block {
		if err := s.Rooms.Block(ctx, req.RoomID, c.UserID, true); err != nil {
			return "", err
		}
	}
	return s.Rooms.Delete(ctx, req.RoomID, room.Deletion{
		Purge: req.Purge == nil || *req.Purge, Force: req.ForcePurge, Creator: req.Creator, Name: req.Name, Message: req.Message,
	})
}

type deleteRoomResponse struct {
	DeleteID string `json:"delete_id"`
}

func (s *Server) deleteRoom(ctx context.Context, c endpoint.Caller, req deleteRoomRequest) (deleteRoomResponse, error) {
	if _, err := s.Rooms.Num(ctx, req.RoomID); err != nil {
		return deleteRoomResponse{}, err
	}
	name, err := s.startDeletion(ctx, c, req)
	return deleteRoomResponse{name}, err
}

// deleteRoomAndWait is the old way. It also blocks rooms that are not known.
func (s *Server) deleteRoomAndWait(ctx context.Context, c endpoint.Caller, req deleteRoomRequest) (shutdown, error) {
	name, err := s.startDeletion(ctx, c, req)
	if room.IsGone(err) && req.Block {
		return shutdownOf(room.Purge{}), nil
	}
	if err != nil {
		return shutdown{}, err
	}
	p, err := s.Rooms.WaitForPurge(ctx, name, room.PurgeRoom)
	if err == nil && p.Status == room.PurgeFailed {
		err = mxerr.New(mxerr.Unknown, "%s", p.Error).WithStatus(400)
	}
	return shutdownOf(p), err
}

type shutdown struct {
	Kicked  []id.UserID    `json:"kicked_users"`
	Stuck   []id.UserID    `json:"failed_to_kick_users"`
	Aliases []id.RoomAlias `json:"local_aliases"`
	NewRoom *id.RoomID     `json:"new_room_id"`
}

func shutdownOf(p room.Purge) shutdown {
	return shutdown{
		append([]id.UserID{}, p.Members...), append([]id.UserID{}, p.Stuck...), append([]id.RoomAlias{}, p.Aliases...), orNull(p.NewRoom),
	}
}

type deleteStatusRequest struct {
	First  string `path:"first"`
	Second string `path:"second"`
}

type deletion struct {
	DeleteID string           `json:"delete_id"`
	RoomID   id.RoomID        `json:"room_id"`
	Status   room.PurgeStatus `json:"status"`
	Error    string           `json:"error,omitempty"`
	Shutdown shutdown         `json:"shutdown_room"`
	// Events and Nodes are not of Synapse: how many rows of events and of states
	// were deleted so far.
	Events int64 `json:"deleted_events"`
	Nodes  int64 `json:"deleted_state_nodes"`
}

func deletionOf(p room.Purge) deletion {
	return deletion{p.ID, p.Room, p.Status, p.Error, shutdownOf(p), p.Events, p.Nodes}
}

type deletionsResponse struct {
	Results []deletion `json:"results"`
}

func (s *Server) deleteStatus(ctx context.Context, _ endpoint.Caller, req deleteStatusRequest) (any, error) {
	const keyword = "delete_status"
	if req.First == keyword {
		p, err := s.Rooms.PurgeByID(ctx, req.Second, room.PurgeRoom)
		return deletionOf(p), err
	}
	if req.Second != keyword {
		return nil, mxerr.New(mxerr.Unrecognized, "There is no such endpoint").WithStatus(404)
	}
	roomID, err := id.ParseRoomID(req.First)
	if err != nil {
		return nil, mxerr.New(mxerr.InvalidParam, "%q is not a room ID", req.First)
	}
	list, err := s.Rooms.PurgesOf(ctx, roomID, room.PurgeRoom)
	if err == nil && len(list) == 0 {
		err = mxerr.New(mxerr.NotFound, "Nothing of room %s was deleted of late", roomID)
	}
	resp := deletionsResponse{Results: []deletion{}}
	for _, p := range list {
		resp.Results = append(resp.Results, deletionOf(p))
	}
	return resp, err
}
