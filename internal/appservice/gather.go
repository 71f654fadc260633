package appservice

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"parley/internal/journal"
	"parley/internal/room"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// What fits into a transaction, and how many entries of the journal are looked at for
// one.
const (
	mostEvents   = 100
	mostBytes    = 1 << 20
	mostToDevice = 100
	chunk        = 500
)

// A draft is a transaction that is put together.
type draft struct {
	events    []canonjson.Value
	ephemeral []canonjson.Value
	toDevice  []canonjson.Value
	size      int
	// changed and left are users whose devices have to be asked for anew, or forgotten.
	changed, left map[id.UserID]bool
	// counted are devices of which it is said how many keys they have left.
	counted map[id.UserID]map[id.DeviceID]bool
	// told are devices with the positions up to which they have their messages with it.
	told map[deviceKey]journal.Position
	// upTo is the position up to which everything is in it.
	upTo journal.Position
}

type deviceKey struct {
	user   id.UserID
	device id.DeviceID
}

func (d *draft) empty() bool {
	return len(d.events)+len(d.ephemeral)+len(d.toDevice)+len(d.changed)+len(d.left)+len(d.counted) == 0
}

func (d *draft) full() bool {
	return len(d.events) >= mostEvents || d.size >= mostBytes || len(d.toDevice) >= mostToDevice
}

// gather puts together what concerns the service of some entries of the journal, the
// first of them, and of what is no entry.
func (w *worker) gather(ctx context.Context, entries []journal.Entry) (*draft, error) {
	d := &draft{
		changed: make(map[id.UserID]bool), left: make(map[id.UserID]bool),
		counted: make(map[id.UserID]map[id.DeviceID]bool), told: make(map[deviceKey]journal.Position), upTo: w.cursor.Position(),
	}
	after := d.upTo
	receipts, lists := make(map[reading]bool), false
	for _, e := range entries {
		if err := w.add(ctx, d, e); err != nil {
			return nil, err
		}
		switch {
		case e.Kind == journal.KindReceipt && w.service.Ephemeral:
			receipts[reading{e.Ref, e.Scope}] = true
		case e.Kind == journal.KindDeviceList && w.service.Encryption:
			lists = true
		}
		if d.upTo = e.Pos; d.full() {
			break
		}
	}
	if err := w.addReceipts(ctx, d, receipts, after); err != nil {
		return nil, err
	}
	if lists {
		if err := w.addLists(ctx, d, after); err != nil {
			return nil, err
		}
	}
	return d, w.addNews(ctx, d)
}

// add adds what an entry is about.
func (w *worker) add(ctx context.Context, d *draft, e journal.Entry) error {
	within := w.within // the room of the events that the entry follows immediately
	w.within = 0
	switch e.Kind {
	case journal.KindEvent:
		w.within = room.Num(e.Scope.Number())
		return w.addEvent(ctx, d, w.within, e)
	case journal.KindMembership:
		num := room.Num(e.Ref)
		if num == within { // it came about by an event, which was looked at
			w.within = within
			return nil
		}
		w.rooms.Put(num, nil)
		return w.addOutside(ctx, d, num, e)
	case journal.KindPurge, journal.KindWhole:
		w.rooms.Put(room.Num(e.Ref), nil)
	case journal.KindToDevice:
		return w.addToDevice(ctx, d, e)
	case journal.KindOneTimeKeys:
		return w.addCounts(ctx, d, e)
	}
	return nil
}

// addEvent adds an event, if it concerns the service.
func (w *worker) addEvent(ctx context.Context, d *draft, num room.Num, e journal.Entry) error {
	it, roomID, ok, err := w.Rooms.Happened(ctx, num, e.Ref)
	if err != nil || !ok || it.Event.Type() == room.TypeDummy {
		return err
	}
	in, err := w.interestBefore(ctx, num, roomID, it)
	if err != nil {
		if room.IsGone(err) {
			return nil
		}
		return err
	}
	target, targeted := w.target(it.Event)
	// Who makes a room is not in it yet.
	if in.is() || targeted || w.service.Owns(it.Event.Sender()) {
		shown, err := w.show(ctx, roomID, it, targeted)
		if err != nil {
			if room.IsGone(err) {
				return nil
			}
			return err
		}
		d.events, d.size = append(d.events, shown), d.size+len(shown)
	}
	if w.service.Encryption && it.Event.Type() == event.TypeMember {
		if err := w.addSharers(ctx, d, num, it, in, target); err != nil {
			return err
		}
	}
	w.note(num, it, in)
	return nil
}

// show returns an event as the service gets it. With an invite of one of its users, or
// a knock, goes what the user may see of the room.
func (w *worker) show(ctx context.Context, roomID id.RoomID, it room.Item, targeted bool) (canonjson.Value, error) {
	list, err := w.Show(ctx, roomID, []room.Item{it})
	if err != nil {
		return nil, err
	}
	name := previewOf(it.Event)
	if !targeted || name == "" {
		return list[0], nil
	}
	state, err := w.Rooms.StrippedState(ctx, roomID, it.Current, it.Event)
	var stripped []canonjson.Value
	for _, e := range state {
		stripped = append(stripped, e.AppendStripped(nil))
	}
	return list[0].With("unsigned", list[0].Get("unsigned").With(name, canonjson.ArrayOf(stripped))), err
}

// previewOf is the name under which a membership has what the user may see of the room,
// empty if it has nothing.
func previewOf(e *event.Event) string {
	switch e.Membership() {
	case event.MembershipInvite:
		return "invite_room_state"
	case event.MembershipKnock:
		return "knock_room_state"
	}
	return ""
}

// addOutside adds the event by which a user of the service was invited to a room that
// this server is not in, or knocked on it.
func (w *worker) addOutside(ctx context.Context, d *draft, num room.Num, e journal.Entry) error {
	o, _, ok, err := w.Rooms.OutsideAt(ctx, num, e.Pos)
	if err != nil || !ok || !w.service.Owns(o.User) {
		return err
	}
	unsigned := canonjson.Value("{}").With("age", canonjson.Integer(max(0, time.Now().UnixMilli()-o.Event.OriginServerTS())))
	if name := previewOf(o.Event); name != "" {
		unsigned = unsigned.With(name, canonjson.ArrayOf(o.Preview))
	}
	shown := o.Event.AppendClient(nil, event.Client{Unsigned: unsigned})
	d.events, d.size = append(d.events, shown), d.size+len(shown)
	return nil
}

// ofRoom is an ephemeral event of a room.
func ofRoom(kind string, roomID id.RoomID, content canonjson.Value) canonjson.Value {
	return canonjson.Value("{}").With("content", content).With("room_id", canonjson.Text(string(roomID))).With("type", canonjson.Text(kind))
}

// body is the transaction as it is sent.
func (w *worker) body(ctx context.Context, d *draft) (canonjson.Value, error) {
	body := canonjson.Value("{}").With("events", canonjson.ArrayOf(d.events))
	if w.service.OldNames {
		body = put(body, d.ephemeral, "de.sorunome.msc2409.ephemeral")
		body = put(body, d.toDevice, "de.sorunome.msc2409.to_device")
	} else {
		body = put(body, d.ephemeral, "ephemeral")
		body = put(body, d.toDevice, "to_device")
	}
	if len(d.changed)+len(d.left) > 0 {
		lists := canonjson.Value("{}").With("changed", users(slices.Sorted(maps.Keys(d.changed)))).
			With("left", users(slices.Sorted(maps.Keys(d.left))))
		body = body.With("device_lists", lists).With("org.matrix.msc3202.device_lists", lists)
	}
	if len(d.counted) > 0 {
		counts, unused, err := w.counts(ctx, d.counted)
		if err != nil {
			return nil, err
		}
		body = body.With("device_one_time_keys_count", counts).With("device_unused_fallback_key_types", unused).
			With("org.matrix.msc3202.device_one_time_keys_count", counts).With("org.matrix.msc3202.device_unused_fallback_key_types", unused)
	}
	return body, nil
}

// toldBy returns the devices that have messages in the body of a transaction, which tells
// all up to a position.
func toldBy(body canonjson.Value, upTo journal.Position) map[deviceKey]journal.Position {
	told := make(map[deviceKey]journal.Position)
	for _, name := range []string{"to_device", "de.sorunome.msc2409.to_device"} {
		for message := range body.Get(name).Elements() {
			user, device := message.Get("to_user_id").String(), message.Get("to_device_id").String()
			told[deviceKey{id.UserID(user), id.DeviceID(device)}] = upTo
		}
	}
	return told
}

// put adds a list to the body of a transaction, unless there is nothing in it.
func put(body canonjson.Value, list []canonjson.Value, name string) canonjson.Value {
	if len(list) == 0 {
		return body
	}
	return body.With(name, canonjson.ArrayOf(list))
}

// txnID is the ID of the transaction with a number.
func (w *worker) txnID(n int64) string { return w.mark + "." + strconv.FormatInt(n, 10) }
