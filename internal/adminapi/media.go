package adminapi

import (
	"context"
	"slices"
	"strings"
	"time"

	"parley/internal/endpoint"
	"parley/internal/media"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// mediaRoutes serve https://element-hq.github.io/synapse/latest/admin_api/media_admin_api.html
//
// A quarantine is of a content, here, whatever it is called, now or later.
func (s *Server) mediaRoutes() []endpoint.Route {
	const v1, own = "/_synapse/admin/v1/", "/_parley/admin/v1/"
	return []endpoint.Route{
		endpoint.On("GET "+v1+"media/{serverName}/{mediaID}", policy(), s.mediaInfo),
		endpoint.On("DELETE "+v1+"media/{serverName}/{mediaID}", policy(), s.deleteMedia),
		endpoint.On("POST "+v1+"media/quarantine/{serverName}/{mediaID}", policy(), s.quarantine(true)),
		endpoint.On("POST "+v1+"media/unquarantine/{serverName}/{mediaID}", policy(), s.quarantine(false)),
		endpoint.On("POST "+v1+"media/protect/{mediaID}", policy(), s.protect(true)),
		endpoint.On("POST "+v1+"media/unprotect/{mediaID}", policy(), s.protect(false)),
		endpoint.On("POST "+v1+"media/delete", policy(), s.deleteOldMedia),
		endpoint.On("POST "+v1+"purge_media_cache", policy(), s.purgeMediaCache),
		endpoint.On("GET "+v1+"room/{roomID}/media", policy(), s.roomMedia),
		endpoint.On("POST "+v1+"room/{roomID}/media/quarantine", policy(), s.quarantineRoom),
		endpoint.On("POST "+v1+"quarantine_media/{roomID}", policy(), s.quarantineRoom), // as it was called before
		endpoint.On("POST "+v1+"user/{userID}/media/quarantine", policy(), s.quarantineUser),
		endpoint.On("GET "+v1+"users/{userID}/media", policy(), s.userMedia),
		endpoint.On("DELETE "+v1+"users/{userID}/media", policy(), s.deleteUserMedia),
		endpoint.On("GET "+v1+"statistics/users/media", policy(), s.mediaStatistics),

		endpoint.On("GET "+own+"media_usage", policy(), s.mediaUsage),
		endpoint.On("DELETE "+own+"room_media/{roomID}", policy(), s.deleteRoomMedia),
		endpoint.On("GET "+own+"media_quarantine", policy(), s.inQuarantine),
		endpoint.On("PUT "+own+"media_quarantine/{sha256}", policy(), s.quarantineHash(true)),
		endpoint.On("DELETE "+own+"media_quarantine/{sha256}", policy(), s.quarantineHash(false)),
	}
}

type mediaRequest struct {
	Server  id.ServerName `path:"serverName"`
	MediaID string        `path:"mediaID"`
}

func (r mediaRequest) uri() (id.ContentURI, error) {
	u, err := id.NewContentURI(r.Server, r.MediaID)
	if err != nil {
		return "", mxerr.New(mxerr.InvalidParam, "%v", err)
	}
	return u, nil
}

// A mediaInfo is media in a list.
type mediaInfo struct {
	MediaID     string  `json:"media_id"`
	Type        string  `json:"media_type"`
	Size        int64   `json:"media_length"`
	Name        *string `json:"upload_name"`
	Created     int64   `json:"created_ts"`
	Used        *int64  `json:"last_access_ts"`
	Quarantined *string `json:"quarantined_by"`
	Protected   bool    `json:"safe_from_quarantine"`
}

func mediaOf(m media.Media) mediaInfo {
	info := mediaInfo{
		MediaID: m.URI.MediaID(), Type: m.Type, Size: m.Size, Name: orNull(m.Name), Created: m.Created.UnixMilli(),
		Quarantined: orNull(string(m.Quarantined)), Protected: m.Protected,
	}
	if m.Used.After(m.Created) {
		used := m.Used.UnixMilli()
		info.Used = &used
	}
	return info
}

type mediaInfoResponse struct {
	Info struct {
		mediaInfo
		Origin *id.ServerName `json:"media_origin"`
		User   *id.UserID     `json:"user_id"`
		Hash   *string        `json:"sha256"`
	} `json:"media_info"`
}

func (s *Server) mediaInfo(ctx context.Context, _ endpoint.Caller, req mediaRequest) (resp mediaInfoResponse, err error) {
	u, err := req.uri()
	if err != nil {
		return resp, err
	}
	m, err := s.Media.Info(ctx, u)
	if err != nil {
		return resp, err
	}
	resp.Info.mediaInfo, resp.Info.User = mediaOf(*m), orNull(m.User)
	if u.Server() != s.Name {
		server := u.Server()
		resp.Info.Origin = &server
	}
	if m.Hash != (media.Hash{}) {
		resp.Info.Hash = orNull(m.Hash.String())
	}
	return resp, nil
}

func (s *Server) quarantine(keep bool) func(context.Context, endpoint.Caller, mediaRequest) (endpoint.Empty, error) {
	return func(ctx context.Context, c endpoint.Caller, req mediaRequest) (endpoint.Empty, error) {
		u, err := req.uri()
		if err == nil {
			err = s.Media.Quarantine(ctx, u, c.UserID, keep)
		}
		return endpoint.Empty{}, err
	}
}

type hashRequest struct {
	Hash string `path:"sha256"`
}

// quarantineHash is for contents that nobody has uploaded yet, or that have been
// removed.
func (s *Server) quarantineHash(keep bool) func(context.Context, endpoint.Caller, hashRequest) (endpoint.Empty, error) {
	return func(ctx context.Context, c endpoint.Caller, req hashRequest) (endpoint.Empty, error) {
		h, ok := media.ParseHash(req.Hash)
		if !ok {
			return endpoint.Empty{}, mxerr.New(mxerr.InvalidParam, "That is not the SHA-256 of a content, in hexadecimal")
		}
		return endpoint.Empty{}, s.Media.QuarantineHash(ctx, h, c.UserID, keep)
	}
}

type protectRequest struct {
	MediaID string `path:"mediaID"`
}

func (s *Server) protect(protect bool) func(context.Context, endpoint.Caller, protectRequest) (endpoint.Empty, error) {
	return func(ctx context.Context, _ endpoint.Caller, req protectRequest) (endpoint.Empty, error) {
		u, err := mediaRequest{s.Name, req.MediaID}.uri()
		if err == nil {
			err = s.Media.Protect(ctx, u, protect)
		}
		return endpoint.Empty{}, err
	}
}

type deletedMediaResponse struct {
	Deleted []string `json:"deleted_media"`
	Total   int      `json:"total"`
}

func deletedMedia(uris []id.ContentURI) deletedMediaResponse {
	resp := deletedMediaResponse{Deleted: []string{}, Total: len(uris)}
	for _, u := range uris {
		resp.Deleted = append(resp.Deleted, u.MediaID())
	}
	return resp
}

func (s *Server) deleteMedia(ctx context.Context, _ endpoint.Caller, req mediaRequest) (deletedMediaResponse, error) {
	u, err := req.uri()
	if err == nil {
		_, err = s.Media.Info(ctx, u)
	}
	if err != nil {
		return deletedMediaResponse{}, err
	}
	gone, err := s.Media.Delete(ctx, []id.ContentURI{u})
	return deletedMedia(gone), err
}

type deleteOldMediaRequest struct {
	Before       int64 `query:"before_ts" required:"true"`
	Larger       int64 `query:"size_gt"`
	KeepProfiles *bool `query:"keep_profiles"`
}

// leastTime is 1970 with some days: who gives a time before means seconds, and would
// remove everything had they meant what they say.
const leastTime = 30_000_000_000

func beforeTime(ms int64) (time.Time, error) {
	if ms < leastTime {
		return time.Time{}, mxerr.New(mxerr.InvalidParam, "before_ts is in milliseconds, and cannot be as long ago as that")
	}
	return time.UnixMilli(ms), nil
}

// deleteOldMedia removes uploads that were not used since a time.
func (s *Server) deleteOldMedia(ctx context.Context, _ endpoint.Caller, req deleteOldMediaRequest) (deletedMediaResponse, error) {
	before, err := beforeTime(req.Before)
	if err != nil {
		return deletedMediaResponse{}, err
	}
	if req.Larger < 0 {
		return deletedMediaResponse{}, mxerr.New(mxerr.InvalidParam, "size_gt is negative")
	}
	old := media.Old{Unused: before, Larger: req.Larger}
	if req.Larger == 0 {
		old.Larger = -1 // what is empty is old, too
	}
	if req.KeepProfiles == nil || *req.KeepProfiles {
		if old.Keep, err = s.avatars(ctx); err != nil {
			return deletedMediaResponse{}, err
		}
	}
	gone, err := s.Media.DeleteOld(ctx, old)
	return deletedMedia(gone), err
}

// avatars are the pictures of users and rooms.
func (s *Server) avatars(ctx context.Context) (map[string]bool, error) {
	users, err := s.Profiles.Avatars(ctx)
	if err != nil {
		return nil, err
	}
	rooms, err := s.Rooms.Avatars(ctx)
	if err != nil {
		return nil, err
	}
	keep := make(map[string]bool)
	for _, u := range slices.Concat(users, rooms) {
		keep[u] = true
	}
	return keep, nil
}

type purgeMediaRequest struct {
	Before int64 `query:"before_ts" required:"true"`
}

type purgeMediaResponse struct {
	Deleted int `json:"deleted"`
}

// purgeMediaCache removes copies that were not used since a time.
func (s *Server) purgeMediaCache(ctx context.Context, _ endpoint.Caller, req purgeMediaRequest) (purgeMediaResponse, error) {
	before, err := beforeTime(req.Before)
	if err != nil {
		return purgeMediaResponse{}, err
	}
	gone, err := s.Media.DeleteOld(ctx, media.Old{Unused: before, Larger: -1, Cached: true})
	return purgeMediaResponse{len(gone)}, err
}

type roomMediaRequest struct {
	RoomID id.RoomID `path:"roomID"`
}

// inRoom returns the media that events of a room speak of, each once.
func (s *Server) inRoom(ctx context.Context, roomID id.RoomID) (local, others []id.ContentURI, err error) {
	local, others = []id.ContentURI{}, []id.ContentURI{}
	seen := make(map[id.ContentURI]bool)
	err = s.Rooms.Contents(ctx, roomID, func(content canonjson.Value) {
		media.Mentioned(content, func(u id.ContentURI) {
			if seen[u] {
				return
			}
			u = id.ContentURI(strings.Clone(string(u))) // the content is not kept
			seen[u] = true
			if u.Server() == s.Name {
				local = append(local, u)
			} else {
				others = append(others, u)
			}
		})
	})
	return local, others, err
}

type roomMediaResponse struct {
	Local  []id.ContentURI `json:"local"`
	Remote []id.ContentURI `json:"remote"`
}

func (s *Server) roomMedia(ctx context.Context, _ endpoint.Caller, req roomMediaRequest) (resp roomMediaResponse, err error) {
	resp.Local, resp.Remote, err = s.inRoom(ctx, req.RoomID)
	return resp, err
}

type quarantinedResponse struct {
	Count int `json:"num_quarantined"`
}

func (s *Server) quarantineRoom(ctx context.Context, c endpoint.Caller, req roomMediaRequest) (quarantinedResponse, error) {
	local, others, err := s.inRoom(ctx, req.RoomID)
	if err != nil {
		return quarantinedResponse{}, err
	}
	n, err := s.Media.QuarantineAll(ctx, slices.Concat(local, others), c.UserID)
	return quarantinedResponse{n}, err
}

// deleteRoomMedia removes what was uploaded here and a room speaks of, and copies of
// what was uploaded elsewhere.
func (s *Server) deleteRoomMedia(ctx context.Context, _ endpoint.Caller, req roomMediaRequest) (deletedMediaResponse, error) {
	local, others, err := s.inRoom(ctx, req.RoomID)
	if err != nil {
		return deletedMediaResponse{}, err
	}
	gone, err := s.Media.Delete(ctx, slices.Concat(local, others))
	return deletedMedia(gone), err
}

type mediaUserRequest struct {
	UserID id.UserID `path:"userID"`
}

func (s *Server) quarantineUser(ctx context.Context, c endpoint.Caller, req mediaUserRequest) (quarantinedResponse, error) {
	if err := s.local(req.UserID); err != nil {
		return quarantinedResponse{}, err
	}
	n, err := s.Media.QuarantineUser(ctx, req.UserID, c.UserID)
	return quarantinedResponse{n}, err
}
