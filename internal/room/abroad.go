package room

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// A room that this server is not in is abroad. Who wants to come in, or to have
// nothing more to do with it, needs a server that is:
// https://spec.matrix.org/v1.19/server-server-api/#joining-rooms

// isAbroad reports whether this server is not in a room. Where nobody is left it is
// as good as any server, if it was in the room.
func (g *Engine) isAbroad(ctx context.Context, roomID id.RoomID) (bool, error) {
	r, err := g.room(ctx, roomID)
	if errors.Is(err, mxerr.NotFound) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	all, err := g.serversOf(ctx, r.num)
	here, wasHere := all[g.server]
	return here.joined == 0 && (!wasHere || all.anybody()), err
}

// mostDoors is how many servers are asked to let a user in.
const mostDoors = 8

// doors returns the servers to ask about a room abroad, the likeliest first: those
// that the user names, that of who invited the user, and that which made the room.
func (g *Engine) doors(ctx context.Context, roomID id.RoomID, m Move) ([]id.ServerName, error) {
	doors := slices.Clone(m.Via)
	invited, err := g.outside(ctx, roomID, m.Target)
	if err != nil {
		return nil, err
	}
	if invited.Event != nil {
		doors = append(doors, invited.Through)
	}
	if server, ok := roomID.Server(); ok {
		doors = append(doors, server)
	}
	var list []id.ServerName
	for _, server := range doors {
		if server != g.server && !slices.Contains(list, server) && len(list) < mostDoors {
			list = append(list, server)
		}
	}
	if g.elsewhere == nil || len(list) == 0 {
		return nil, mxerr.New(mxerr.NotFound, "There is no room %s that this server knows of", roomID)
	}
	return list, nil
}

// knock on the doors until one opens. What the first said is returned otherwise.
func (g *Engine) tryDoors(ctx context.Context, roomID id.RoomID, m Move, try func(id.ServerName) error) error {
	doors, err := g.doors(ctx, roomID, m)
	if err != nil {
		return err
	}
	var first error
	for _, server := range doors {
		err := try(server)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case first == nil || isRefusal(err) && !isRefusal(first):
			first = err
		}
	}
	return told(roomID, first)
}

// isRefusal reports whether another server does not want to. That it cannot find out
// who asks is nothing that a user could do anything about.
func isRefusal(err error) bool {
	refusal, ok := errors.AsType[*remote.Refusal](err)
	return ok && refusal.Status < 500 && refusal.Status != http.StatusUnauthorized && refusal.Code.Known()
}

// answered reports whether another server was reached, whatever it said.
func answered(err error) bool {
	_, ok := errors.AsType[*remote.Refusal](err)
	return ok
}

// refusalOf is for the user what another server has refused; ok is false if it has
// not.
func refusalOf(err error) (own *mxerr.Error, ok bool) {
	refusal, ok := errors.AsType[*remote.Refusal](err)
	if !ok || !isRefusal(err) {
		return nil, false
	}
	return mxerr.New(refusal.Code, "%s", refusal.Message).WithStatus(refusal.Status).Wrap(err), true
}

// told makes of what another server answered what the user gets to know.
func told(roomID id.RoomID, err error) error {
	if refused, ok := refusalOf(err); ok {
		return refused
	}
	if own, ok := errors.AsType[*mxerr.Error](err); ok && !answered(err) {
		return own
	}
	return mxerr.New(mxerr.NotFound, "No server that is in room %s could be reached", roomID).Wrap(err)
}

// complete makes of a template the event that a local user wants.
// https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
func (g *Engine) complete(t remote.Template, roomID id.RoomID, d Draft) (*event.Event, error) {
	rules, ok := roomver.Lookup(t.Version)
	if !ok {
		return nil, mxerr.New(mxerr.UnsupportedRoomVersion, "The room has version %q, which this server does not support", string(t.Version))
	}
	for name, want := range map[string]string{"type": d.Type, "state_key": *d.StateKey, "sender": string(d.Sender), "room_id": string(roomID)} {
		if !t.Event.Get(name).Is(want) {
			return nil, fmt.Errorf("the template of a %s event has %s %s", d.Type, name, t.Event.Get(name))
		}
	}
	content := d.Content
	if authoriser := t.Event.Get("content").Get(authorisedVia); authoriser != nil {
		content = content.With(authorisedVia, authoriser)
	}
	// What allows the event is known to the other server only, which may have gone by it.
	theirs, _ := t.Event.Get("origin_server_ts").Int()
	object := t.Event.With("content", content).With("origin", canonjson.Text(string(g.server))).
		With("origin_server_ts", canonjson.Value(fmt.Sprint(g.timeAfter(theirs-1)))).Without("event_id")
	eventID, err := g.newEventID(rules)
	if err != nil {
		return nil, err
	}
	if eventID != "" {
		object = object.With("event_id", canonjson.Text(string(eventID)))
	}
	return event.Complete(object, rules, g.server, g.key)
}

// versions are the room versions that this server knows.
func versions() (list []roomver.Version) {
	for rules := range roomver.Known() {
		list = append(list, rules.Version)
	}
	return list
}

// sign makes a membership event with the help of a server that is in the room.
func (g *Engine) sign(ctx context.Context, server id.ServerName, membership string, roomID id.RoomID, m Move) (*event.Event, error) {
	var supported []roomver.Version
	if membership != event.MembershipLeave {
		supported = versions()
	}
	t, err := g.elsewhere.Make(ctx, server, membership, roomID, m.Sender, supported)
	if err != nil {
		return nil, err
	}
	return g.complete(t, roomID, m.draft(membership))
}

// handOver makes a leave or a knock with the help of a server that is in the room,
// and gives it to that server, which answers.
func (g *Engine) handOver(ctx context.Context, server id.ServerName, membership string, roomID id.RoomID, m Move) (*event.Event, canonjson.Value, error) {
	e, err := g.sign(ctx, server, membership, roomID, m)
	if err != nil {
		return nil, nil, err
	}
	answer, err := g.elsewhere.Send(ctx, server, membership, roomID, e.ID(), e.JSON())
	return e, answer, err
}

// joinAbroad joins a room that this server is not in.
func (g *Engine) joinAbroad(ctx context.Context, roomID id.RoomID, m Move) (sent Sent, err error) {
	if err := g.mayEnter(ctx, roomID); err != nil {
		return Sent{}, err
	}
	defer g.entering.begin(roomID)()
	err = g.tryDoors(ctx, roomID, m, func(server id.ServerName) (err error) {
		sent, err = g.joinThrough(ctx, server, roomID, m)
		return err
	})
	return sent, err
}

// joinThrough joins a room with the help of a server that is in it.
// https://spec.matrix.org/v1.19/server-server-api/#joining-rooms
func (g *Engine) joinThrough(ctx context.Context, server id.ServerName, roomID id.RoomID, m Move) (Sent, error) {
	join, err := g.sign(ctx, server, event.MembershipJoin, roomID, m)
	if err != nil {
		return Sent{}, err
	}
	r, err := g.roomOrNew(ctx, roomID, join.Rules())
	if err != nil {
		return Sent{}, err
	}
	sent, partial, err := g.joinInto(ctx, r, server, join)
	if err == nil && partial {
		g.soonWhole(ctx, roomID)
	}
	return sent, err
}

// joinInto has a server take a join into the room, and takes over from it what the room
// is.
func (g *Engine) joinInto(ctx context.Context, r *live, server id.ServerName, join *event.Event) (sent Sent, partial bool, err error) {
	state := g.gather(r)
	defer func() {
		if failure := state.discard(context.WithoutCancel(ctx)); failure != nil {
			g.log.Error("discarding what was handed over of a room", "room", r.id, "server", server, "err", failure)
		}
	}()
	said, err := g.elsewhere.Join(ctx, server, r.id, join.ID(), join.JSON(), state.events(ctx))
	if err == nil {
		err = state.end(ctx)
	}
	if err != nil {
		return Sent{}, false, err
	}
	if signed, err := event.Parse(said.Event, join.Rules()); err == nil && signed.ID() == join.ID() && string(signed.Content()) == string(join.Content()) {
		join = signed // with a signature that the join may need
	}
	sent, err = g.arrive(ctx, arrival{join: join, from: server, state: state, partial: said.Partial, servers: said.Servers})
	return sent, said.Partial, err
}

// leaveAbroad declines an invite, or takes back a knock, to a room that this server
// is not in. If no server can be reached that should be told, the user is rid of
// it all the same.
// https://spec.matrix.org/v1.19/server-server-api/#leaving-rooms-rejecting-invites
func (g *Engine) leaveAbroad(ctx context.Context, roomID id.RoomID, m Move) (Sent, error) {
	before, err := g.outside(ctx, roomID, m.Sender)
	if err != nil {
		return Sent{}, err
	}
	if before.Event == nil { // it is refused, for the reason that there is
		return g.Send(ctx, roomID, m.draft(event.MembershipLeave))
	}
	err = g.tryDoors(ctx, roomID, m, func(server id.ServerName) error {
		_, _, err := g.handOver(ctx, server, event.MembershipLeave, roomID, m)
		return err
	})
	if ctx.Err() != nil {
		return Sent{}, ctx.Err()
	}
	if err != nil {
		g.log.Info("nobody could be told that an invite is declined", "room", roomID, "user", m.Sender, "err", err)
	}
	return g.noteOutside(ctx, roomID, Outside{User: m.Sender, Membership: event.MembershipLeave, Version: before.Version})
}

// knockAbroad asks for an invite to a room that this server is not in.
// https://spec.matrix.org/v1.19/server-server-api/#knocking-upon-a-room
func (g *Engine) knockAbroad(ctx context.Context, roomID id.RoomID, m Move) (sent Sent, err error) {
	if err := g.mayEnter(ctx, roomID); err != nil {
		return Sent{}, err
	}
	err = g.tryDoors(ctx, roomID, m, func(server id.ServerName) error {
		knock, answer, err := g.handOver(ctx, server, event.MembershipKnock, roomID, m)
		if err != nil {
			return err
		}
		sent, err = g.noteOutside(ctx, roomID, Outside{
			User: m.Sender, Membership: event.MembershipKnock, Version: knock.Rules().Version, Through: server, Event: knock, Preview: strip(answer.Get("knock_room_state")),
		})
		return err
	})
	return sent, err
}
