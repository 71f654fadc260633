package room

import (
	"context"
	"errors"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// An invite that was left for an address, of nobody that was known, becomes one of
// the user who has proved to have the address:
// https://spec.matrix.org/v1.19/server-server-api/#third-party-invites

// An Exchange is one of these for the other.
type Exchange struct {
	// Sender has left the invite, and Target has the address.
	Sender, Target id.UserID
	// Signed is the proof, by an identity server. The rules look at it.
	Signed canonjson.Value
	// Content is what the member event says beside: the profile of the target.
	Content canonjson.Value
}

// LeftInvite returns the event by which an invite was left for an address, nil if
// there is none. The error is [mxerr.NotFound] if this server is not in the room.
func (g *Engine) LeftInvite(ctx context.Context, roomID id.RoomID, token string) (*event.Event, error) {
	if _, err := g.ParticipatingRules(ctx, roomID); err != nil {
		return nil, err
	}
	now, err := g.Now(ctx, roomID)
	if err != nil {
		return nil, err
	}
	return g.State(ctx, roomID, now.Root, event.Tuple{Type: event.TypeThirdPartyInvite, StateKey: token})
}

// Exchange makes the exchange here, or if this server is not in the room has it made
// by the server of who has left the invite. Nothing happens to who is in the room or
// invited already. Whether the key of the identity server was revoked is not asked.
func (g *Engine) Exchange(ctx context.Context, roomID id.RoomID, x Exchange) error {
	left, err := g.LeftInvite(ctx, roomID, tokenOf(x.Signed))
	if errors.Is(err, mxerr.NotFound) {
		return g.exchangeAbroad(ctx, roomID, x)
	}
	if err != nil {
		return err
	}
	membership, err := g.Membership(ctx, roomID, x.Target)
	if err != nil || membership == event.MembershipJoin || membership == event.MembershipInvite {
		return err
	}
	if left == nil {
		return mxerr.New(mxerr.Forbidden, "There is no such invite")
	}
	by := canonjson.Value("{}").With("signed", x.Signed)
	if name := left.Content().Get("display_name"); name != nil {
		by = by.With("display_name", name)
	}
	_, err = g.inviteExchanged(ctx, roomID, Move{Sender: x.Sender, Target: x.Target, Content: x.Content.With("third_party_invite", by)})
	return err
}

func tokenOf(signed canonjson.Value) string {
	token, _ := signed.Get("token").Text()
	return token
}

// inviteExchanged sends the invite. That of a user of another server has the
// signature of this one, and all others get it from here.
func (g *Engine) inviteExchanged(ctx context.Context, roomID id.RoomID, m Move) (Sent, error) {
	d := m.draft(event.MembershipInvite)
	d.exchanged = true
	if err := g.mayMove(ctx, roomID, d); err != nil {
		return Sent{}, err
	}
	if m.Target.Server() != g.server && g.elsewhere != nil {
		return g.inviteDrawn(ctx, roomID, m.Target, d)
	}
	r, err := g.room(ctx, roomID)
	if err != nil {
		return Sent{}, err
	}
	invite, err := r.drawAside(ctx, d)
	if err != nil {
		return Sent{}, err
	}
	if invite, err = g.signedFor(ctx, r, invite); err != nil {
		return Sent{}, err
	}
	return g.takeInvite(ctx, invite)
}

// exchangeAbroad has an exchange made by the server of who has left the invite, which
// sends the invite then. That other servers do it is not asked for: an invite that
// another server sends than that of its sender is not believed here.
func (g *Engine) exchangeAbroad(ctx context.Context, roomID id.RoomID, x Exchange) error {
	before, err := g.outside(ctx, roomID, x.Target)
	if err != nil || before.Event != nil && before.Membership == event.MembershipInvite {
		return err
	}
	if g.elsewhere == nil || x.Sender.Server() == g.server {
		return mxerr.New(mxerr.NotFound, "There is no room %s that this server knows of", roomID)
	}
	// The other server knows the name for which the invite was left, and the schema
	// wants one.
	name := x.Content.Get("displayname")
	if name.Kind() != canonjson.String {
		name = canonjson.Text(x.Target.Localpart())
	}
	by := canonjson.Value("{}").With("signed", x.Signed).With("display_name", name)
	err = g.elsewhere.Exchange(ctx, x.Sender.Server(), roomID, canonjson.Value("{}").
		With("type", canonjson.Text(event.TypeMember)).With("room_id", canonjson.Text(string(roomID))).
		With("sender", canonjson.Text(string(x.Sender))).With("state_key", canonjson.Text(string(x.Target))).
		With("content", canonjson.Value("{}").With("membership", canonjson.Text(event.MembershipInvite)).With("third_party_invite", by)))
	if err != nil {
		return told(roomID, err)
	}
	return nil
}
