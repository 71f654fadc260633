package room

import (
	"context"
	"slices"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// joinByHelp joins a room that this server is in, but into which it may not let
// somebody by itself: it does not know a room that decides about that, or nobody
// here may invite. Another server that can signs the join. If there is none, the
// error is why this one cannot.
// https://spec.matrix.org/v1.19/server-server-api/#restricted-rooms
func (g *Engine) joinByHelp(ctx context.Context, roomID id.RoomID, m Move, why error) (Sent, error) {
	helpers, err := g.helpers(ctx, roomID, m.Via)
	if err != nil {
		return Sent{}, err
	}
	refusal := why
	for _, server := range helpers {
		sent, err := g.joinHelpedBy(ctx, server, roomID, m)
		switch {
		case err == nil:
			return sent, nil
		case ctx.Err() != nil:
			return Sent{}, ctx.Err()
		}
		g.log.Info("a server does not help with a join", "room", roomID, "server", server, "err", err)
		if isRefusal(err) && isVerdict(err) {
			refusal = told(roomID, err) // who can decide has decided
		}
	}
	return Sent{}, refusal
}

// isVerdict reports whether a refusal says that a user may not join, and not that
// the other server does not know, either.
func isVerdict(err error) bool {
	mine, ok := told("", err).(*mxerr.Error)
	return ok && mine.Code == mxerr.Forbidden
}

// helpers returns other servers in a room, first those that the user names, then
// those of whom the room was made or who has set its power levels: they have
// somebody who may invite.
func (g *Engine) helpers(ctx context.Context, roomID id.RoomID, via []id.ServerName) ([]id.ServerName, error) {
	if g.elsewhere == nil {
		return nil, nil
	}
	num, err := g.Num(ctx, roomID)
	if err != nil {
		return nil, err
	}
	present, err := g.ServersIn(ctx, num)
	if err != nil {
		return nil, err
	}
	now, err := g.Now(ctx, roomID)
	if err != nil {
		return nil, err
	}
	able := make(map[id.ServerName]bool)
	for _, eventType := range []string{event.TypeCreate, event.TypePowerLevels, event.TypeJoinRules} {
		e, err := g.State(ctx, roomID, now.Root, event.Tuple{Type: eventType})
		if err != nil {
			return nil, err
		}
		if e != nil {
			able[e.Sender().Server()] = true
		}
	}
	slices.Sort(present)
	slices.SortStableFunc(present, func(a, b id.ServerName) int {
		switch {
		case able[a] && !able[b]:
			return -1
		case able[b] && !able[a]:
			return +1
		}
		return 0
	})
	var list []id.ServerName
	for _, server := range append(slices.Clone(via), present...) {
		if server != g.server && slices.Contains(present, server) && !slices.Contains(list, server) && len(list) < mostDoors {
			list = append(list, server)
		}
	}
	return list, nil
}

// joinHelpedBy has another server sign a join. Here it is an event as any other
// then: the state that the other server hands over is known.
func (g *Engine) joinHelpedBy(ctx context.Context, server id.ServerName, roomID id.RoomID, m Move) (Sent, error) {
	join, answer, err := g.handOver(ctx, server, event.MembershipJoin, roomID, m)
	if err != nil {
		return Sent{}, err
	}
	if user, there := join.AuthorisingUser(); there {
		if join, err = g.countersigned(ctx, join, user.Server(), answer.Get("event")); err != nil {
			return Sent{}, err
		}
	}
	results, err := g.Check(ctx, join.Rules(), []canonjson.Value{join.JSON()})
	if err != nil {
		return Sent{}, err
	}
	if results[0].Err != nil {
		return Sent{}, results[0].Err
	}
	return g.takeJoin(ctx, server, results[0].Event)
}
