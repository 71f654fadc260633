package room

import (
	"context"
	"errors"
	"fmt"

	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// inviteAbroad invites a user of another server, which signs the invite first: so
// it learns of it though it may not be in the room.
// https://spec.matrix.org/v1.19/server-server-api/#inviting-to-a-room
func (g *Engine) inviteAbroad(ctx context.Context, roomID id.RoomID, m Move) (Sent, error) {
	return g.inviteDrawn(ctx, roomID, m.Target, m.draft(event.MembershipInvite))
}

func (g *Engine) inviteDrawn(ctx context.Context, roomID id.RoomID, target id.UserID, d Draft) (Sent, error) {
	r, err := g.room(ctx, roomID)
	if err != nil {
		return Sent{}, err
	}
	invite, err := r.drawAside(ctx, d)
	if err != nil {
		return Sent{}, err
	}
	// Invites that servers send each other name the one that invites, as other events once did.
	invite, err = event.Complete(invite.JSON().With("origin", canonjson.Text(string(g.server))), invite.Rules(), g.server, g.key)
	if err != nil {
		return Sent{}, badEvent(err)
	}
	if invite, err = g.signedFor(ctx, r, invite); err != nil {
		return Sent{}, err
	}
	preview, err := g.StrippedFor(ctx, invite)
	if err != nil {
		return Sent{}, err
	}
	server := target.Server()
	answer, err := g.elsewhere.Invite(ctx, server, roomID, invite.ID(), remote.Invite{Event: invite.JSON(), Preview: preview, Version: r.rules.Version})
	if err != nil {
		return Sent{}, inviteRefused(target, err)
	}
	signed, err := g.countersigned(ctx, invite, server, answer)
	if err != nil {
		return Sent{}, mxerr.New(mxerr.Unknown, "The server of %s does not answer as it should", target).WithStatus(400).Wrap(err)
	}
	return g.takeInvite(ctx, signed)
}

// takeInvite makes an invite that was drawn aside part of the room.
func (g *Engine) takeInvite(ctx context.Context, signed *event.Event) (Sent, error) {
	outcome, err := g.receiveBehindGap(ctx, signed, gap{relay: signed.Sender().Server() != g.server})
	switch {
	case err != nil:
		return Sent{}, err
	case outcome == Rejected, outcome == SoftFailed:
		return Sent{}, mxerr.New(mxerr.Forbidden, "The room has changed, and the invite is not allowed any more")
	}
	return Sent{EventID: signed.ID(), Pos: g.journal.Head()}, nil
}

// inviteRefused is what the user is told whose invite another server did not take.
func inviteRefused(target id.UserID, err error) error {
	if refused, ok := refusalOf(err); ok {
		return refused
	}
	return mxerr.New(mxerr.NotFound, "The server of %s could not be reached", target).Wrap(err)
}

// drawAside builds an event on the room as it is, without making it part of it.
func (r *live) drawAside(ctx context.Context, d Draft) (*event.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.aside(ctx, d)
}

// aside is drawAside for who holds mu.
func (r *live) aside(ctx context.Context, d Draft) (*event.Event, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	_, _, prev, _ := r.heads()
	made, err := r.draw(ctx, d, r.row.root, prev)
	return made.event, err
}

// countersigned checks that what another server answers is an event of ours with
// its signature, and returns that.
func (g *Engine) countersigned(ctx context.Context, e *event.Event, server id.ServerName, answer canonjson.Value) (*event.Event, error) {
	signed, err := event.Parse(answer, e.Rules())
	if err != nil {
		return nil, err
	}
	if signed.ID() != e.ID() || string(signed.Content()) != string(e.Content()) {
		return nil, fmt.Errorf("%s has signed another event", server)
	}
	signatures := signed.JSON().Get("signatures").Get(string(server))
	if signatures.Kind() != canonjson.Object {
		return nil, fmt.Errorf("%s has not signed", server)
	}
	both := e.JSON().Get("signatures").With(string(server), signatures)
	signed, err = event.Parse(e.JSON().With("signatures", both), e.Rules())
	if err != nil {
		return nil, err
	}
	var wants []remote.Want
	for name := range signatures.Members() {
		text, _ := name.Text()
		if id.KeyID(text) == policyKey {
			continue
		}
		wants = append(wants, remote.Want{Server: server, Key: id.KeyID(text), At: e.OriginServerTS()})
	}
	keys, err := g.keys.Lookup(ctx, wants)
	if err != nil {
		return nil, err
	}
	return signed, g.verifier.VerifyServer(signed, server, keys)
}

// TakeInvite takes in an invite of a local user that another server sends, after the
// checks on its form, signature and hash, and returns it with this server's
// signature. If this server is in the room, the invite comes as an event as well.
func (g *Engine) TakeInvite(ctx context.Context, e *event.Event, version roomver.Version, state canonjson.Value) (*event.Event, error) {
	signed := e.Sign(g.server, g.key)
	key, _ := e.StateKey()
	user := id.UserID(key)
	abroad, err := g.isAbroad(ctx, e.RoomID())
	if err != nil || !abroad {
		return signed, err
	}
	_, err = g.noteOutside(ctx, e.RoomID(), Outside{
		User: user, Membership: event.MembershipInvite, Version: version, Through: e.Sender().Server(), Event: signed.WithUnsigned(nil), Preview: strip(state),
	})
	if errors.Is(err, errConflict) {
		err = nil // the server has come into the room meanwhile
	}
	return signed, err
}

// ParticipatingRules is Rules for a room that this server is in; for others it is
// [mxerr.NotFound].
func (g *Engine) ParticipatingRules(ctx context.Context, roomID id.RoomID) (*roomver.Rules, error) {
	abroad, err := g.isAbroad(ctx, roomID)
	if err == nil && abroad {
		err = mxerr.New(mxerr.NotFound, "This server is not in room %s", roomID)
	}
	if err != nil {
		return nil, err
	}
	return g.Rules(ctx, roomID)
}

// Stray takes in an event of a room that this server is not in. It is of use only
// if it takes back the invite of a local user; everything else is dropped.
func (g *Engine) Stray(ctx context.Context, server id.ServerName, pdu canonjson.Value) error {
	roomText, _ := pdu.Get("room_id").Text()
	roomID, err := id.ParseRoomID(roomText)
	if err != nil {
		return nil
	}
	text, _ := pdu.Get("state_key").Text()
	user, err := id.ParseUserID(text)
	if err != nil || user.Server() != g.server {
		return nil
	}
	o, err := g.outside(ctx, roomID, user)
	if err != nil || o.Event == nil {
		return err
	}
	rules, ok := roomver.Lookup(o.Version)
	if !ok {
		return nil
	}
	results, err := g.Check(ctx, rules, []canonjson.Value{pdu})
	if err != nil || results[0].Err != nil {
		return err
	}
	e := results[0].Event
	if !e.IsState(event.TypeMember, string(user)) || e.Sender().Server() != server {
		return nil
	}
	// An invite is shown at once, and overtakes what is sent in turn: what comes from
	// before it does not end it.
	if event.IsOut(e.Membership()) && e.Depth() > o.Event.Depth() {
		_, err = g.noteOutside(ctx, roomID, Outside{User: user, Membership: e.Membership(), Version: o.Version})
	}
	if errors.Is(err, errConflict) {
		err = nil
	}
	return err
}
