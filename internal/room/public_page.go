package room

import (
	"encoding/base64"
	"strconv"
	"strings"

	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A roomPage says which part of the directory is wanted: what stands behind a
// place or, if it is backwards, before it. The zero roomPage is the first page.
type roomPage struct {
	backwards bool
	place     Listed
}

// String returns the page as a token.
func (p roomPage) String() string {
	direction := "n"
	if p.backwards {
		direction = "p"
	}
	return direction + strconv.FormatInt(p.place.Joined, 10) + "_" + base64.RawURLEncoding.EncodeToString([]byte(p.place.RoomID))
}

func parseRoomPage(token string) (p roomPage, err error) {
	if token == "" {
		return p, nil
	}
	refusal := mxerr.New(mxerr.InvalidParam, "since is no token of this server")
	direction, rest := token[:1], token[1:]
	if direction != "n" && direction != "p" {
		return p, refusal
	}
	joined, encoded, _ := strings.Cut(rest, "_")
	roomID, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return p, refusal.Wrap(err)
	}
	p.backwards = direction == "p"
	if p.place.Joined, err = strconv.ParseInt(joined, 10, 64); err != nil {
		return p, refusal.Wrap(err)
	}
	if p.place.RoomID, err = id.ParseRoomID(string(roomID)); err != nil {
		return p, refusal.Wrap(err)
	}
	return p, nil
}
