package csapi

import (
	"context"
	"strconv"

	"parley/internal/e2ee"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// backupLimit is the size of the body of requests that bring keys of rooms: some
// thousands of them.
const backupLimit = 8 << 20

func (s *Server) keyBackupRoutes() []endpoint.Route {
	const keys = "/_matrix/client/v3/room_keys/keys"
	const version = "/_matrix/client/v3/room_keys/version"
	read := endpoint.Policy{Auth: endpoint.User, Class: classRead}
	write := endpoint.Policy{Auth: endpoint.User, Class: classWrite}
	upload := endpoint.Policy{Auth: endpoint.User, Class: classWrite, BodyLimit: backupLimit}
	return []endpoint.Route{
		endpoint.On("POST "+version, endpoint.Policy{Auth: endpoint.User, Class: classCreate}, s.createBackup),
		endpoint.On("GET "+version, read, s.currentBackup),
		endpoint.On("GET "+version+"/{version}", read, s.backup),
		endpoint.On("PUT "+version+"/{version}", write, s.updateBackup),
		endpoint.On("DELETE "+version+"/{version}", write, s.deleteBackup),
		endpoint.On("PUT "+keys+"/{roomID}/{sessionID}", upload, s.putSessionKey),
		endpoint.On("GET "+keys+"/{roomID}/{sessionID}", read, s.sessionKey),
		endpoint.On("DELETE "+keys+"/{roomID}/{sessionID}", write, s.deleteSessionKey),
		endpoint.On("PUT "+keys+"/{roomID}", upload, s.putRoomKeys),
		endpoint.On("GET "+keys+"/{roomID}", read, s.roomKeys),
		endpoint.On("DELETE "+keys+"/{roomID}", write, s.deleteRoomKeys),
		endpoint.On("PUT "+keys, upload, s.putAllKeys),
		endpoint.On("GET "+keys, read, s.allKeys),
		endpoint.On("DELETE "+keys, write, s.deleteAllKeys),
	}
}

type createBackupRequest struct {
	Algorithm string          `json:"algorithm" required:"true"`
	AuthData  canonjson.Value `json:"auth_data" required:"true"`
}

type createBackupResponse struct {
	Version string `json:"version"`
}

// createBackup serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3room_keysversion
func (s *Server) createBackup(ctx context.Context, c endpoint.Caller, req createBackupRequest) (createBackupResponse, error) {
	version, err := s.Backups.Create(ctx, c.UserID, req.Algorithm, req.AuthData)
	return createBackupResponse{strconv.FormatInt(version, 10)}, err
}

type backupResponse struct {
	Algorithm string          `json:"algorithm"`
	AuthData  canonjson.Value `json:"auth_data"`
	Version   string          `json:"version"`
	standResponse
}

// standResponse is how far a backup has come.
type standResponse struct {
	ETag  string `json:"etag"`
	Count int64  `json:"count"`
}

func showStand(s e2ee.Stand) standResponse {
	return standResponse{strconv.FormatInt(s.ETag, 10), s.Count}
}

func showBackup(b e2ee.Backup) backupResponse {
	return backupResponse{b.Algorithm, b.AuthData, strconv.FormatInt(b.Version, 10), showStand(b.Stand)}
}

// currentBackup serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keysversion
func (s *Server) currentBackup(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (backupResponse, error) {
	b, err := s.Backups.Current(ctx, c.UserID)
	return showBackup(b), err
}

type backupRequest struct {
	Version string `path:"version"`
}

// backup serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keysversionversion
func (s *Server) backup(ctx context.Context, c endpoint.Caller, req backupRequest) (backupResponse, error) {
	version, err := e2ee.ParseVersion(req.Version)
	if err != nil {
		return backupResponse{}, err
	}
	b, err := s.Backups.Get(ctx, c.UserID, version)
	return showBackup(b), err
}

type updateBackupRequest struct {
	Version   string          `path:"version"`
	Same      *string         `json:"version"`
	Algorithm string          `json:"algorithm" required:"true"`
	AuthData  canonjson.Value `json:"auth_data" required:"true"`
}

// updateBackup serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keysversionversion
func (s *Server) updateBackup(ctx context.Context, c endpoint.Caller, req updateBackupRequest) (endpoint.Empty, error) {
	named := req.Version
	version, err := e2ee.ParseVersion(named)
	if err == nil && req.Same != nil && *req.Same != named {
		err = mxerr.New(mxerr.InvalidParam, "The version in the body is not that of the path")
	}
	if err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Backups.Update(ctx, c.UserID, version, req.Algorithm, req.AuthData)
}

// deleteBackup serves https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keysversionversion
func (s *Server) deleteBackup(ctx context.Context, c endpoint.Caller, req backupRequest) (endpoint.Empty, error) {
	version, err := e2ee.ParseVersion(req.Version)
	if err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Backups.Delete(ctx, c.UserID, version)
}

// inBackup names a version of a backup.
type inBackup struct {
	Version string `query:"version" required:"true"`
}

type putSessionKeyRequest struct {
	inBackup
	RoomID    id.RoomID       `path:"roomID"`
	SessionID string          `path:"sessionID"`
	Key       canonjson.Value `body:"raw" required:"true"`
}

// putSessionKey serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keyskeysroomidsessionid
func (s *Server) putSessionKey(ctx context.Context, c endpoint.Caller, req putSessionKeyRequest) (standResponse, error) {
	key, err := e2ee.ParseSessionKey(req.RoomID, req.SessionID, req.Key)
	if err != nil {
		return standResponse{}, err
	}
	return s.putKeys(ctx, c, req.Version, []e2ee.SessionKey{key})
}

func (s *Server) putKeys(ctx context.Context, c endpoint.Caller, version string, keys []e2ee.SessionKey) (standResponse, error) {
	// What is no version is, to the specification, one that is not the current one.
	number, _ := e2ee.ParseVersion(version)
	stand, err := s.Backups.Put(ctx, c.UserID, number, keys)
	return showStand(stand), err
}

type putRoomKeysRequest struct {
	inBackup
	RoomID   id.RoomID       `path:"roomID"`
	Sessions canonjson.Value `json:"sessions" required:"true"`
}

// putRoomKeys serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keyskeysroomid
func (s *Server) putRoomKeys(ctx context.Context, c endpoint.Caller, req putRoomKeysRequest) (standResponse, error) {
	keys, err := parseSessions(nil, req.RoomID, req.Sessions)
	if err != nil {
		return standResponse{}, err
	}
	return s.putKeys(ctx, c, req.Version, keys)
}

// parseSessions appends the keys of a room.
func parseSessions(keys []e2ee.SessionKey, room id.RoomID, sessions canonjson.Value) ([]e2ee.SessionKey, error) {
	if sessions.Kind() != canonjson.Object {
		return nil, mxerr.New(mxerr.BadJSON, "sessions has to be an object")
	}
	for name, value := range sessions.Members() {
		session, _ := name.Text()
		key, err := e2ee.ParseSessionKey(room, session, value)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

type putAllKeysRequest struct {
	inBackup
	Rooms canonjson.Value `json:"rooms" required:"true"`
}

// putAllKeys serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keyskeys
func (s *Server) putAllKeys(ctx context.Context, c endpoint.Caller, req putAllKeysRequest) (standResponse, error) {
	if req.Rooms.Kind() != canonjson.Object {
		return standResponse{}, mxerr.New(mxerr.BadJSON, "rooms has to be an object")
	}
	var keys []e2ee.SessionKey
	for name, value := range req.Rooms.Members() {
		text, _ := name.Text()
		room, err := id.ParseRoomID(text)
		if err != nil {
			return standResponse{}, mxerr.New(mxerr.InvalidParam, "%s", err.Error())
		}
		if keys, err = parseSessions(keys, room, value.Get("sessions")); err != nil {
			return standResponse{}, err
		}
	}
	return s.putKeys(ctx, c, req.Version, keys)
}

type sessionKeyRequest struct {
	inBackup
	RoomID    id.RoomID `path:"roomID"`
	SessionID string    `path:"sessionID"`
}

// sessionKey serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keyskeysroomidsessionid
func (s *Server) sessionKey(ctx context.Context, c endpoint.Caller, req sessionKeyRequest) (e2ee.SessionKey, error) {
	version, err := e2ee.ParseVersion(req.Version)
	if err != nil {
		return e2ee.SessionKey{}, err
	}
	return s.Backups.Key(ctx, c.UserID, version, req.RoomID, req.SessionID)
}

// deleteSessionKey serves https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keyskeysroomidsessionid
func (s *Server) deleteSessionKey(ctx context.Context, c endpoint.Caller, req sessionKeyRequest) (standResponse, error) {
	return s.removeKeys(ctx, c, req.Version, req.RoomID, req.SessionID)
}

func (s *Server) removeKeys(ctx context.Context, c endpoint.Caller, version string, room id.RoomID, session string) (standResponse, error) {
	number, err := e2ee.ParseVersion(version)
	if err != nil {
		return standResponse{}, err
	}
	stand, err := s.Backups.Remove(ctx, c.UserID, number, room, session)
	return showStand(stand), err
}

type roomKeysRequest struct {
	inBackup
	RoomID id.RoomID `path:"roomID"`
}

// roomKeys serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keyskeysroomid
func (s *Server) roomKeys(ctx context.Context, c endpoint.Caller, req roomKeysRequest) (*e2ee.BackedUp, error) {
	return s.backedUp(ctx, c, req.Version, req.RoomID)
}

func (s *Server) backedUp(ctx context.Context, c endpoint.Caller, version string, room id.RoomID) (*e2ee.BackedUp, error) {
	number, err := e2ee.ParseVersion(version)
	if err != nil {
		return nil, err
	}
	return s.Backups.Keys(ctx, c.UserID, number, room)
}

// deleteRoomKeys serves https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keyskeysroomid
func (s *Server) deleteRoomKeys(ctx context.Context, c endpoint.Caller, req roomKeysRequest) (standResponse, error) {
	return s.removeKeys(ctx, c, req.Version, req.RoomID, "")
}

// allKeys serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keyskeys
func (s *Server) allKeys(ctx context.Context, c endpoint.Caller, req inBackup) (*e2ee.BackedUp, error) {
	return s.backedUp(ctx, c, req.Version, "")
}

// deleteAllKeys serves https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keyskeys
func (s *Server) deleteAllKeys(ctx context.Context, c endpoint.Caller, req inBackup) (standResponse, error) {
	return s.removeKeys(ctx, c, req.Version, "", "")
}
