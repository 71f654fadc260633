package room

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/statetrie"
	"parley/matrix/event"
	"parley/matrix/id"
)

// How much is fetched of what is missing in a gap at once.
const (
	mostFilled     = 100              // events
	mostHistorians = 4                // servers that are asked
	mostQuestions  = 20               // to one of them, for states and what authorises events
	fillTime       = 20 * time.Second // for each of them
)

// Fill fetches from other servers in a room some of the events that are missing
// before the one in a place, and puts them there. It reports false if it could not
// get any: then there is nobody who has them, at least for now. What is fetched is
// no news for anybody.
//
// As an event is judged by the state before it, and that is known where the gap
// ends in what the room has, but not where it goes on, the other server is asked
// for the state before the oldest events, as it is for those received behind a gap.
// https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events
func (g *Engine) Fill(ctx context.Context, roomID id.RoomID, place int64) (more bool, err error) {
	r, err := g.room(ctx, roomID)
	if err != nil || g.elsewhere == nil || place <= r.remains.place || r.recent.isVain(place) {
		return false, err
	}
	unlock, err := g.backfilling.lock(ctx, roomID)
	if err != nil {
		return false, err
	}
	defer unlock()
	h, ok, err := g.readHole(ctx, r.num, place)
	if err != nil {
		return false, err
	}
	if !ok { // somebody else was faster, perhaps another node
		r.recent.moveGap(place, 0)
		return true, nil
	}
	behind, worthwhile, err := g.worthFilling(ctx, r, place)
	if err != nil || !worthwhile {
		return false, err
	}
	servers, err := g.historians(ctx, r, behind.Event)
	if err != nil {
		return false, err
	}
	for _, server := range servers {
		more, err := g.fillFrom(ctx, server, r, h)
		if more || err != nil {
			return more, err
		}
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	r.recent.vain(place)
	return false, nil
}

// worthFilling returns the event behind a gap, and reports whether what is before
// it would be shown at all.
func (g *Engine) worthFilling(ctx context.Context, r *live, place int64) (behind Item, ok bool, err error) {
	list, err := g.back(ctx, r, place, 1)
	if err != nil || len(list) == 0 || list[0].Place != place {
		return behind, false, err
	}
	cutoff, err := r.cutoff(ctx)
	return list[0], cutoff == 0 || list[0].Event.OriginServerTS() >= cutoff, err
}

// historians returns the servers that may know what was before an event: whose it
// is, which made the room, and those with most members.
func (g *Engine) historians(ctx context.Context, r *live, behind *event.Event) ([]id.ServerName, error) {
	all, err := g.serversOf(ctx, r.num)
	if err != nil {
		return nil, err
	}
	rank := func(server id.ServerName) int64 {
		maker, _ := r.id.Server()
		switch server {
		case behind.Sender().Server():
			return 1 << 62
		case maker:
			return 1 << 61
		}
		return all[server].joined
	}
	var list []id.ServerName
	for server, p := range all {
		if p.joined > 0 && server != g.server {
			list = append(list, server)
		}
	}
	slices.SortFunc(list, func(a, b id.ServerName) int { return cmp.Or(cmp.Compare(rank(b), rank(a)), cmp.Compare(a, b)) })
	return list[:min(len(list), mostHistorians)], nil
}

// fillFrom fills a part of a gap from one server. What that server does wrong is no
// error.
func (g *Engine) fillFrom(ctx context.Context, server id.ServerName, r *live, h hole) (more bool, err error) {
	limited, cancel := context.WithTimeout(ctx, fillTime)
	defer cancel()
	f := backfill{filling: filling{Engine: g, server: server}, room: r}
	past, err := f.fetch(limited, &h)
	switch {
	case err != nil:
	case len(past) > 0:
		more, err = g.takePast(ctx, r, h, past)
	default:
		more, err = g.handDown(ctx, r, h)
	}
	if theirs := (*fromElsewhere)(nil); errors.As(err, &theirs) || limited.Err() != nil && ctx.Err() == nil {
		g.log.Info("history could not be fetched", "room", r.id, "server", server, "err", err)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("fetching history of %s from %s: %w", r.id, server, err)
	}
	return more, nil
}

// fromElsewhere is an error that another server has caused.
type fromElsewhere struct{ error }

func (e *fromElsewhere) Unwrap() error { return e.error }

// A backfill is what is fetched from one server at once.
type backfill struct {
	filling
	room      *live
	questions int
}

// A bygone event was fetched for a gap.
type bygone struct {
	event *event.Event
	// before is the state before it by the word of another server, nil if it follows
	// from the events that it follows.
	before *statetrie.Root
	// unsure is as of a gap.
	unsure bool
}

// fetch fetches events that are missing in a gap, with what is needed to judge them.
// Each comes after those that it follows.
func (f *backfill) fetch(ctx context.Context, h *hole) ([]bygone, error) {
	pdus, err := f.elsewhere.Backfill(ctx, f.server, f.room.id, h.missing[:min(len(h.missing), event.MaxPrevEvents)], mostFilled)
	if err != nil {
		return nil, &fromElsewhere{err}
	}
	results, err := f.Check(ctx, f.room.rules, pdus[:min(len(pdus), mostFilled)])
	if err != nil {
		return nil, err
	}
	found := make(map[id.EventID]*event.Event)
	for _, r := range results {
		if r.Err == nil && r.Event.RoomID() == f.room.id {
			found[r.Event.ID()] = r.Event.WithUnsigned(nil)
		}
	}
	if err := f.divide(ctx, h, found); err != nil {
		return nil, err
	}
	list, err := f.reached(ctx, *h, found)
	if err != nil {
		return nil, err
	}
	var past []bygone
	kept := make(map[id.EventID]bool)
	for _, e := range list {
		p, ok, err := f.prepare(ctx, e, kept)
		if err != nil {
			return nil, err
		}
		if ok {
			past = append(past, p)
			kept[e.ID()] = true
		}
	}
	return past, nil
}

// divide takes out of the events those that belong before an earlier gap: all that the
// event behind that one may follow. An event that somebody wants to see is brought
// wherever there is space for it.
func (f *backfill) divide(ctx context.Context, h *hole, found map[id.EventID]*event.Event) error {
	if h.island {
		return nil
	}
	place, ok := f.room.recent.gapIn(max(1, f.room.remains.place+1), h.place-1)
	if !ok {
		return nil
	}
	list, err := f.back(ctx, f.room, place, 1)
	if err != nil || len(list) == 0 || list[0].Place != place {
		return err
	}
	h.beneath = beneath{place: place, older: make(map[id.EventID]bool)}
	for eventID, e := range found {
		if e.Depth() < list[0].Event.Depth() {
			h.beneath.older[eventID] = true
			delete(found, eventID)
		}
	}
	return nil
}

// reached returns those of the events that are found by going from what is missing
// to what that follows, and that the room does not have, each after those that it
// follows. Where events follow each other, one of them has to begin.
func (f *backfill) reached(ctx context.Context, h hole, found map[id.EventID]*event.Event) ([]*event.Event, error) {
	var all []id.EventID
	for eventID := range found {
		all = append(all, eventID)
	}
	lacking, err := f.lacks(ctx, f.room.id, all, placed)
	if err != nil {
		return nil, err
	}
	const begun, ended = 1, 2
	state := make(map[id.EventID]int)
	for _, eventID := range lacking {
		state[eventID] = 0
	}
	var list []*event.Event
	for _, start := range h.missing {
		stack := []id.EventID{start}
		for len(stack) > 0 {
			eventID := stack[len(stack)-1]
			at, lacked := state[eventID]
			if !lacked || at == ended {
				stack = stack[:len(stack)-1]
				continue
			}
			if at == begun {
				state[eventID] = ended
				list = append(list, found[eventID])
				stack = stack[:len(stack)-1]
				continue
			}
			state[eventID] = begun
			for _, prev := range slices.Backward(found[eventID].PrevEvents()) {
				if at, lacked := state[prev]; lacked && at == 0 {
					stack = append(stack, prev)
				}
			}
		}
	}
	return list, nil
}

// prepare fetches what is needed to judge an event, ok is false if it cannot be had.
// The events that were kept before are about to be in the room.
func (f *backfill) prepare(ctx context.Context, e *event.Event, kept map[id.EventID]bool) (p bygone, ok bool, err error) {
	p.event = e
	if lacking, err := f.lacks(ctx, f.room.id, e.AuthEvents(), anywhere); err != nil {
		return p, false, err
	} else if len(without(lacking, kept)) > 0 {
		if !f.ask() {
			return p, false, nil
		}
		if err := f.authorise(ctx, e); err != nil {
			return p, false, ctx.Err()
		}
		lacking, err := f.lacks(ctx, f.room.id, e.AuthEvents(), anywhere)
		if err != nil || len(without(lacking, kept)) > 0 {
			return p, false, err
		}
	}
	lacking, err := f.lacks(ctx, f.room.id, e.PrevEvents(), placed)
	if err != nil || len(without(lacking, kept)) == 0 {
		return p, err == nil, err
	}
	if !f.ask() {
		return p, false, nil
	}
	root, whole, err := f.stateAt(ctx, e)
	if err != nil {
		return p, false, ctx.Err()
	}
	p.before, p.unsure = &root, !whole
	return p, true, nil
}

// ask counts the questions, and reports false when there were too many.
func (f *backfill) ask() bool {
	f.questions++
	return f.questions <= mostQuestions
}

func without(ids []id.EventID, some map[id.EventID]bool) []id.EventID {
	return slices.DeleteFunc(slices.Clone(ids), func(eventID id.EventID) bool { return some[eventID] })
}
