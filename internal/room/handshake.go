package room

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"parley/internal/statetrie"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// Another server whose user wants to come, to knock or to go asks what the event
// has to be like, signs it, and sends it back:
// https://spec.matrix.org/v1.19/server-server-api/#joining-rooms

// A Template is an event of another server's user that is to be signed.
type Template struct {
	Event   canonjson.Value
	Version roomver.Version
}

// Template returns the event by which a user of another server becomes something
// to a room: joined, knocking or gone. The versions are those that the other
// server knows, nil if it need not say. Errors are for the other server; what the
// rules forbid is [mxerr.Forbidden].
func (g *Engine) Template(ctx context.Context, roomID id.RoomID, user id.UserID, membership string, versions []roomver.Version) (t Template, err error) {
	if err := g.resident(ctx, roomID, user.Server()); err != nil {
		return t, err
	}
	r, err := g.room(ctx, roomID)
	if err != nil {
		return t, err
	}
	t.Version = r.rules.Version
	if versions != nil && !slices.Contains(versions, t.Version) {
		return t, mxerr.New(mxerr.IncompatibleRoomVersion, "Your server does not support room version %s", t.Version).
			With("room_version", string(t.Version))
	}
	d := Move{Sender: user, Target: user}.draft(membership)
	if membership == event.MembershipJoin {
		if d.authoriser, err = g.stranger(ctx, roomID, user); err != nil {
			return t, err
		}
	}
	d.Content = d.content()
	t.Event, err = r.template(ctx, d)
	return t, err
}

// resident refuses another server that wants something of a room which this
// server is not in, or does not know the members of, or that the room does not let
// in.
func (g *Engine) resident(ctx context.Context, roomID id.RoomID, server id.ServerName) error {
	if err := g.Admits(ctx, roomID, server); err != nil {
		return err
	}
	here, err := g.HasMembers(ctx, roomID, g.server)
	if err == nil && !here {
		return mxerr.New(mxerr.NotFound, "This server is not in room %s", roomID)
	}
	if err != nil {
		return err
	}
	return g.Whole(ctx, roomID)
}

// stranger returns the local user in whose name a user joins who was not
// invited, if one is needed.
func (g *Engine) stranger(ctx context.Context, roomID id.RoomID, user id.UserID) (id.UserID, error) {
	membership, err := g.Membership(ctx, roomID, user)
	if err != nil || membership == event.MembershipInvite || membership == event.MembershipJoin {
		return "", err
	}
	return g.authoriser(ctx, roomID, user)
}

// template builds what another server is to sign.
func (r *live) template(ctx context.Context, d Draft) (canonjson.Value, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := &snapshot{ctx: ctx, room: r, root: r.row.root}
	_, _, prev, _ := r.heads()
	proto, _, err := r.proto(ctx, d, state, prev)
	if err != nil {
		return nil, err
	}
	if r.rules.EventID == roomver.EventIDCarried {
		// The other server gives it another.
		if proto.EventID, err = id.NewEventID("template", d.Sender.Server()); err != nil {
			return nil, fmt.Errorf("making a template for %s: %w", d.Sender, err)
		}
	}
	e, err := proto.Build(r.rules, d.Sender.Server(), r.engine.key)
	if err != nil {
		return nil, badEvent(err)
	}
	if err := r.allow(ctx, e, r.row.root); err != nil {
		return nil, err
	}
	return e.JSON().Without("hashes", "signatures", "event_id", "unsigned"), nil
}

// Take receives an event that was made of a template, and has passed the checks on
// its form, signature and hash. It returns the event as it is then: who joins in
// the name of a local user needs this server's signature, and the room may have a
// policy server, of which who is outside cannot know. The error is
// [mxerr.Forbidden] if the rules do not allow the event. The other servers in the room
// get it from this one: its own server need not know them.
func (g *Engine) Take(ctx context.Context, roomID id.RoomID, e *event.Event) (*event.Event, error) {
	if err := g.resident(ctx, roomID, e.Sender().Server()); err != nil {
		return nil, err
	}
	if user, there := e.AuthorisingUser(); there && user.Server() == g.server {
		// It was asked for before the template was made; who knows what has happened
		// since.
		if _, err := g.stranger(ctx, roomID, e.Sender()); err != nil {
			return nil, err
		}
		e = e.Sign(g.server, g.key)
	}
	outcome, e, err := g.receiveAsking(ctx, e, gap{relay: true})
	switch {
	case errors.Is(err, ErrMissing):
		return nil, mxerr.New(mxerr.InvalidParam, "The event is not made of a template of this server").Wrap(err)
	case err != nil:
		return nil, err
	case outcome == Rejected, outcome == SoftFailed:
		return nil, mxerr.New(mxerr.Forbidden, "The event is not allowed in the room")
	}
	return e, nil
}

// A Handover is what a server gets that joins a room.
type Handover struct {
	// State is the state before the join, and AuthChain what authorises it.
	State, AuthChain []stateres.Num
	// Servers are those that were in the room before the join.
	Servers []id.ServerName
}

// HandOver returns what a server gets for a join that was taken. Without members,
// member events are left out of the state that nobody needs to check the rest.
func (g *Engine) HandOver(ctx context.Context, join *event.Event, members bool) (h Handover, err error) {
	r, err := g.room(ctx, join.RoomID())
	if err != nil {
		return h, err
	}
	before, err := g.rootBefore(ctx, r, join.ID())
	if err != nil {
		return h, err
	}
	if members {
		s, err := g.stateWithChain(ctx, r, before)
		if err != nil {
			return h, err
		}
		h.State, h.AuthChain = s.State, s.AuthChain
	} else {
		n, err := g.numByID(ctx, r, join.ID())
		if err != nil {
			return h, err
		}
		if h.State, h.AuthChain, err = g.stateButMembers(ctx, r, before, n); err != nil {
			return h, err
		}
	}
	h.Servers, err = g.serversBefore(ctx, r, join, before)
	return h, err
}

// serversBefore returns the servers that were in the room before a join that was
// taken. That of the user is none of them if nobody else of it is there: it would
// take itself for somebody to ask for the members.
func (g *Engine) serversBefore(ctx context.Context, r *live, join *event.Event, before statetrie.Root) ([]id.ServerName, error) {
	server, user := join.Sender().Server(), event.Tuple{Type: event.TypeMember, StateKey: string(join.Sender())}
	all, err := g.serversOf(ctx, r.num)
	if err != nil || all[server].joined > 1 {
		return all.joined(), err
	}
	was, err := g.State(ctx, r.id, before, user)
	if err != nil || was != nil && was.Membership() == event.MembershipJoin {
		return all.joined(), err
	}
	return slices.DeleteFunc(all.joined(), func(s id.ServerName) bool { return s == server }), nil
}

// stateButMembers returns the state before an event without members, and what
// authorises it and the event.
func (g *Engine) stateButMembers(ctx context.Context, r *live, root statetrie.Root, n stateres.Num) (state, chain []stateres.Num, err error) {
	err = g.StateButMembers(ctx, r.num, root, func(_ event.Tuple, n stateres.Num) { state = append(state, n) })
	if err != nil {
		return nil, nil, err
	}
	chain, err = g.authChain(ctx, r, append(state[:len(state):len(state)], n))
	return state, chain, err
}
