package ssapi

import (
	"context"
	"errors"
	"time"

	"parley/internal/receipt"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// edu takes in an EDU. One that makes no sense, or is about users of another
// server than that which sends it, is dropped; an error is a fault of this server.
func (s *Server) edu(ctx context.Context, origin id.ServerName, edu canonjson.Value) error {
	content := edu.Get("content")
	kind, _ := edu.Get("edu_type").Text()
	var err error
	switch kind {
	case "m.typing":
		err = s.typingEDU(ctx, origin, content)
	case "m.receipt":
		err = s.receiptEDU(ctx, origin, content)
	}
	if refused := (*mxerr.Error)(nil); errors.As(err, &refused) {
		return nil
	}
	return err
}

// present reports whether a user of the server that sends an EDU is in a room, and
// the server may speak there.
func (s *Server) present(ctx context.Context, origin id.ServerName, roomID id.RoomID, user id.UserID) (bool, error) {
	if user.Server() != origin {
		return false, nil
	}
	if err := s.Rooms.Admits(ctx, roomID, origin); err != nil {
		return false, err
	}
	membership, err := s.Rooms.Membership(ctx, roomID, user)
	return membership == event.MembershipJoin, err
}

// typingEDU takes in https://spec.matrix.org/v1.19/server-server-api/#typing-notifications
func (s *Server) typingEDU(ctx context.Context, origin id.ServerName, content canonjson.Value) error {
	roomID, user, ok := roomAndUser(content)
	if !ok {
		return nil
	}
	in, err := s.present(ctx, origin, roomID, user)
	if err != nil || !in {
		return err
	}
	num, err := s.Rooms.Num(ctx, roomID)
	if err != nil {
		return err
	}
	if content.Get("typing").True() {
		s.Typing.Type(num.Scope(), user, 0)
	} else {
		s.Typing.Stop(num.Scope(), user)
	}
	return nil
}

func roomAndUser(content canonjson.Value) (roomID id.RoomID, user id.UserID, ok bool) {
	text, _ := content.Get("room_id").Text()
	roomID, err := id.ParseRoomID(text)
	if err != nil {
		return "", "", false
	}
	text, _ = content.Get("user_id").Text()
	user, err = id.ParseUserID(text)
	return roomID, user, err == nil
}

// mostReceipts is how many receipts of an EDU are looked at.
const mostReceipts = 500

// receiptEDU takes in https://spec.matrix.org/v1.19/server-server-api/#receipts
func (s *Server) receiptEDU(ctx context.Context, origin id.ServerName, content canonjson.Value) error {
	left := mostReceipts
	for name, kinds := range content.Members() {
		text, _ := name.Text()
		roomID, err := id.ParseRoomID(text)
		if err != nil {
			continue
		}
		for name, about := range kinds.Get(receipt.TypeRead).Members() {
			text, _ := name.Text()
			user, err := id.ParseUserID(text)
			if left--; err != nil || left < 0 {
				continue
			}
			if err := s.putReceipt(ctx, origin, roomID, user, about); err != nil {
				return err
			}
		}
	}
	return nil
}

// putReceipt puts a receipt. One for an event that has not come is dropped.
func (s *Server) putReceipt(ctx context.Context, origin id.ServerName, roomID id.RoomID, user id.UserID, about canonjson.Value) error {
	in, err := s.present(ctx, origin, roomID, user)
	if err == nil && in {
		err = s.Receipts.Put(ctx, roomID, readReceipt(user, about))
	}
	if refused := (*mxerr.Error)(nil); errors.As(err, &refused) {
		return nil
	}
	return err
}

// readReceipt reads what is said of a receipt; the last event counts.
func readReceipt(user id.UserID, about canonjson.Value) receipt.Receipt {
	r := receipt.Receipt{User: user, Type: receipt.TypeRead, TS: time.Now().UnixMilli()}
	for eventID := range about.Get("event_ids").Elements() {
		text, _ := eventID.Text()
		r.EventID = id.EventID(text)
	}
	if ts, ok := about.Get("data").Get("ts").Int(); ok {
		r.TS = ts
	}
	r.Thread, _ = about.Get("data").Get("thread_id").Text()
	return r
}
