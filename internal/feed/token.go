package feed

import (
	"math"
	"strconv"
	"strings"

	"parley/internal/journal"
	"parley/matrix/mxerr"
)

// A Token is up to where a client knows everything. The zero Token is before
// everything.
type Token struct {
	Epoch string // of the journal; empty only in the zero Token
	Pos   journal.Position
	Board string // the epoch of the typing board
	Seq   uint64 // of its last change
	// Queue is up to where the device was told what is sent to it, if there was more
	// than goes into one answer; 0: up to Pos.
	Queue journal.Position
}

// String returns the token as clients carry it: s1_EPOCH_POS_BOARD_SEQ, and _QUEUE
// if there is one.
func (t Token) String() string {
	s := "s1_" + t.Epoch + "_" + strconv.FormatInt(int64(t.Pos), 10) + "_" + t.Board + "_" + strconv.FormatUint(t.Seq, 10)
	if t.Queue != 0 {
		s += "_" + strconv.FormatInt(int64(t.Queue), 10)
	}
	return s
}

// queue returns up to where the device was told what is sent to it.
func (t Token) queue() journal.Position {
	if t.Queue != 0 {
		return t.Queue
	}
	return t.Pos
}

// ParseToken reads what String wrote.
func ParseToken(s string) (Token, error) {
	bad := mxerr.New(mxerr.InvalidParam, "The token is not one that this server gave out")
	parts := strings.Split(s, "_")
	if len(parts) != 5 && len(parts) != 6 || parts[0] != "s1" || parts[1] == "" {
		return Token{}, bad
	}
	pos, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || pos < 0 {
		return Token{}, bad
	}
	seq, err := strconv.ParseUint(parts[4], 10, 64)
	if err != nil {
		return Token{}, bad
	}
	t := Token{Epoch: parts[1], Pos: journal.Position(pos), Board: parts[3], Seq: seq}
	if len(parts) == 6 {
		queue, err := strconv.ParseInt(parts[5], 10, 64)
		if err != nil || queue <= 0 || queue > pos {
			return Token{}, bad
		}
		t.Queue = journal.Position(queue)
	}
	return t, nil
}

// FormatPlace returns the token of a point in a room's own order: the one that
// is behind the event in a place and before the next.
func FormatPlace(place int64) string { return "t1_" + strconv.FormatInt(place, 10) }

// ParsePlace reads what FormatPlace wrote.
func ParsePlace(s string) (int64, error) {
	text, ok := strings.CutPrefix(s, "t1_")
	place, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || place < 0 || place == math.MaxInt64 {
		return 0, mxerr.New(mxerr.InvalidParam, "The token is not one that this server gave out")
	}
	return place, nil
}
