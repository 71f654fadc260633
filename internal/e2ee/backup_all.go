package e2ee

import (
	"context"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// BackedUp is keys of a backup in the form that clients get, made part by part:
// there may be more than fit into memory.
type BackedUp struct {
	backups *Backups
	user    id.UserID
	version int64
	room    id.RoomID // empty: those of all rooms
	begun   bool
	last    SessionKey // that was written
}

// Keys returns the keys of a version, of one room or, if that is empty, of all. The
// refusal is [mxerr.NotFound] if there is no such version.
func (b *Backups) Keys(ctx context.Context, user id.UserID, version int64, room id.RoomID) (*BackedUp, error) {
	if _, err := b.Get(ctx, user, version); err != nil {
		return nil, err
	}
	return &BackedUp{backups: b, user: user, version: version, room: room}, nil
}

// AppendPart appends the next part of the object, and reports whether there are
// more.
func (u *BackedUp) AppendPart(ctx context.Context, dst []byte) (part []byte, more bool, err error) {
	keys, err := u.backups.page(ctx, u.user, u.version, u.room, "", u.last)
	if err != nil {
		return nil, false, err
	}
	if !u.begun {
		u.begun = true
		if dst = append(dst, `{"rooms":{`...); u.room != "" {
			dst = append(dst[:len(dst)-len(`{"rooms":{`)], `{"sessions":{`...)
		}
	}
	for _, k := range keys {
		switch {
		case u.last.Session == "" && u.room == "":
			dst = appendRoom(dst, k.Room)
		case u.last.Session == "":
		case u.last.Room != k.Room:
			dst = appendRoom(append(dst, `}},`...), k.Room)
		default:
			dst = append(dst, ',')
		}
		dst = k.AppendJSON(append(canonjson.AppendString(dst, k.Session), ':'))
		u.last = k
	}
	if len(keys) == keysPerPage {
		return dst, true, nil
	}
	if u.room == "" && u.last.Session != "" {
		dst = append(dst, `}}`...)
	}
	return append(dst, `}}`...), false, nil
}

func appendRoom(dst []byte, room id.RoomID) []byte {
	return append(canonjson.AppendString(dst, string(room)), `:{"sessions":{`...)
}
