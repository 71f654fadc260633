package ssapi

import (
	"context"
	"errors"
	"strings"
	"time"

	"parley/internal/devicelist"
	"parley/internal/ephemeral"
	"parley/internal/receipt"
	"parley/internal/todevice"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// edus takes in EDUs, in their order, and returns when what of them is to be kept
// is durable. One that makes no sense, or is about users of another server than
// that which sends it, is dropped; an error is a fault of this server.
func (s *Server) edus(ctx context.Context, origin id.ServerName, edus []canonjson.Value) error {
	var waits []func() error
	var failed error
	for _, edu := range edus {
		kind, _ := edu.Get("edu_type").Text()
		switch kind {
		case todevice.EDUType:
			waits = append(waits, s.ToDevice.Receive(origin, edu.Get("content")))
			continue
		case devicelist.UpdateEDU, devicelist.SigningKeyEDU:
			waits = append(waits, s.DeviceLists.Receive(origin, kind, edu.Get("content")))
			continue
		}
		if failed = s.edu(ctx, origin, kind, edu.Get("content")); failed != nil {
			break
		}
	}
	for _, wait := range waits {
		failed = errors.Join(failed, wait())
	}
	return failed
}

// edu takes in one of which nothing has to be kept.
func (s *Server) edu(ctx context.Context, origin id.ServerName, kind string, content canonjson.Value) error {
	var err error
	switch kind {
	case "m.typing":
		err = s.typingEDU(ctx, origin, content)
	case "m.receipt":
		err = s.receiptEDU(ctx, origin, content)
	case "m.presence":
		err = s.presenceEDU(ctx, origin, content)
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

// typingTime is how long a user of another server is believed to type of whom
// nothing more is heard. Servers say it again after up to 40 seconds.
const typingTime = time.Minute

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
		s.Typing.Type(num.Scope(), user, typingTime)
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
		var list []receipt.Receipt
		for name, about := range kinds.Get(receipt.TypeRead).Members() {
			text, _ := name.Text()
			user, err := id.ParseUserID(text)
			if left--; left >= 0 && err == nil && user.Server() == origin {
				list = append(list, readReceipt(user, about))
			}
		}
		if err := s.putReceipts(ctx, origin, roomID, list); err != nil {
			return err
		}
	}
	return nil
}

// putReceipts puts receipts of users of a server, as far as they are in the room.
// One for an event that has not come is dropped.
func (s *Server) putReceipts(ctx context.Context, origin id.ServerName, roomID id.RoomID, list []receipt.Receipt) error {
	if len(list) == 0 {
		return nil
	}
	var refused *mxerr.Error
	if err := s.Rooms.Admits(ctx, roomID, origin); errors.As(err, &refused) {
		return nil
	} else if err != nil {
		return err
	}
	var present []receipt.Receipt
	for _, r := range list {
		membership, err := s.Rooms.Membership(ctx, roomID, r.User)
		if err != nil && !errors.As(err, &refused) {
			return err
		}
		if err == nil && membership == event.MembershipJoin {
			present = append(present, r)
		}
	}
	return s.Receipts.PutAll(ctx, roomID, present)
}

// readReceipt reads what is said of a receipt; the last event counts.
func readReceipt(user id.UserID, about canonjson.Value) receipt.Receipt {
	r := receipt.Receipt{User: user, Type: receipt.TypeRead, TS: time.Now().UnixMilli()}
	for eventID := range about.Get("event_ids").Elements() {
		text, _ := eventID.Text()
		r.EventID, _ = id.ParseEventID(text)
	}
	if ts, ok := about.Get("data").Get("ts").Int(); ok {
		r.TS = ts
	}
	r.Thread, _ = about.Get("data").Get("thread_id").Text()
	return r
}

// Bounds of an EDU about presence.
const (
	mostPresence = 200     // users who are looked at
	mostStatus   = 1 << 10 // bytes of a status message, the rest of which is cut off
)

// presenceEDU takes in https://spec.matrix.org/v1.19/server-server-api/#presence
func (s *Server) presenceEDU(ctx context.Context, origin id.ServerName, content canonjson.Value) error {
	if s.Presence == nil {
		return nil
	}
	left := mostPresence
	for said := range content.Get("push").Elements() {
		text, _ := said.Get("user_id").Text()
		user, err := id.ParseUserID(text)
		if left--; left < 0 {
			return nil
		}
		report, ok := readPresence(said)
		if err != nil || !ok || user.Server() != origin {
			continue
		}
		// Nobody here sees who is in no room of this server.
		rooms, err := s.Rooms.Joined(ctx, user)
		if err != nil {
			return err
		}
		if len(rooms) > 0 {
			s.Presence.Report(user, report)
		}
	}
	return nil
}

// readPresence reads what is said of one user.
func readPresence(said canonjson.Value) (r ephemeral.Report, ok bool) {
	name, _ := said.Get("presence").Text()
	if r.State, ok = ephemeral.ParseState(name); !ok {
		return r, false
	}
	const year = 365 * 24 * time.Hour
	ago, _ := said.Get("last_active_ago").Int()
	r.Ago = time.Duration(min(max(ago, 0), year.Milliseconds())) * time.Millisecond
	r.Currently = said.Get("currently_active").True()
	r.Message, _ = said.Get("status_msg").Text()
	if len(r.Message) > mostStatus {
		r.Message = strings.ToValidUTF8(r.Message[:mostStatus], "")
	}
	return r, true
}
