package ephemeral

import (
	"container/list"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"parley/internal/journal"
	"parley/matrix/id"
)

const (
	// gatherTime is how long after the first change others are waited for.
	gatherTime = 200 * time.Millisecond
	// leastGap and mostGap bound the time from one tick to the next.
	leastGap = 3 * time.Second
	mostGap  = time.Minute
	// lookGap is the least time to the next tick after one that told nothing.
	lookGap = time.Second
	// budget is how much a second telling may cost: an event 1, and an answer
	// that has any as much as answerCost of them.
	budget     = 50_000
	answerCost = 20
	// returnTime is how long after a start users may take to come back before
	// they are told of as offline.
	returnTime = time.Minute
	// retryTime is when to try again to find out about a user.
	retryTime = 10 * time.Second
)

// Told takes in that an answer told a client of so many changes.
func (p *Presence) Told(events int) { p.cost.Add(int64(events + answerCost)) }

// Run shows presence to others until the context ends. It must run once.
func (p *Presence) Run(ctx context.Context) {
	p.recall(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		cancel, moved := p.sub.Notify(p.upTo, 0, p.signal)
		rest := p.rest(moved)
		if rest == 0 {
			cancel()
			p.tick(ctx)
			continue
		}
		// What the last tick costs is not known until the clients have their
		// answers, so when the time has come it may be longer.
		timer.Reset(rest)
		select {
		case <-timer.C:
		case <-p.wake:
		case <-ctx.Done():
		}
		cancel()
	}
}

// recall takes up who may have been told of as online before a start.
func (p *Presence) recall(ctx context.Context) {
	if p.Recall == nil {
		return
	}
	users, err := p.Recall(ctx)
	if err != nil {
		if ctx.Err() == nil {
			p.Log.ErrorContext(ctx, "clients may show users as online who were so before the start", "err", err)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	back := time.Now().Add(returnTime)
	for _, user := range users {
		if p.people[user] == nil {
			per := p.person(user)
			per.absent = back
			p.watch[per] = struct{}{}
			p.due = earlier(p.due, back)
		}
	}
}

// rest returns how long it is until the next tick. Moved says that users became
// something else to rooms.
func (p *Presence) rest(moved bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if moved && p.news.IsZero() {
		p.news = now
	}
	next := p.due
	if !p.news.IsZero() {
		next = earlier(next, p.news.Add(gatherTime))
	}
	if next.IsZero() {
		return time.Hour
	}
	gap := min(mostGap, max(leastGap, time.Duration(p.cost.Load())*time.Second/budget))
	for _, allowed := range []time.Time{p.last.Add(gap), p.looked.Add(lookGap)} {
		if next.Before(allowed) {
			next = allowed
		}
	}
	return max(0, next.Sub(now))
}

// tick shows what is different from what was shown before.
func (p *Presence) tick(ctx context.Context) {
	p.follow(ctx)
	users := p.take()
	loaded := make(map[id.UserID]About, len(users))
	for _, user := range users {
		about, err := p.Load(ctx, user)
		switch {
		case err == nil:
			loaded[user] = about
		case ctx.Err() == nil:
			p.Log.ErrorContext(ctx, "trying again later to find out about a user who is online", "user", user, "err", err)
		}
	}
	for scope := range p.show(loaded) {
		p.board.poke(scope)
	}
}

// follow takes in who became what to rooms since the last tick.
func (p *Presence) follow(ctx context.Context) {
	head := p.journal.Head()
	entries, err := p.sub.Read(ctx, p.upTo, head)
	if err != nil && ctx.Err() == nil && !errors.Is(err, journal.ErrGone) {
		p.Log.ErrorContext(ctx, "trying again later to find out who is in which room", "err", err)
		p.mu.Lock()
		p.last = time.Now()
		p.mu.Unlock()
		return
	}
	p.upTo = head
	moved := make(map[journal.Scope]struct{})
	for _, e := range entries {
		if e.Kind == journal.KindMembership {
			moved[e.Scope] = struct{}{}
		}
	}
	if len(moved) == 0 && err == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, per := range p.people {
		if _, has := moved[per.scope]; has || err != nil {
			per.stale = true
			p.watch[per] = struct{}{}
		}
	}
}

// take begins a tick: what changes from now on is for the next one. It returns
// whom something has to be found out about.
func (p *Presence) take() (stale []id.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.news, p.due, p.looked = time.Time{}, time.Time{}, now
	for per := range p.watch {
		if per.stale && (!now.Before(per.absent) || len(per.devices) > 0) {
			per.stale, per.loading = false, true
			stale = append(stale, per.user)
		}
	}
	return stale
}

// show numbers what is to be told, and returns the scopes of whom it concerns.
func (p *Presence) show(loaded map[id.UserID]About) map[journal.Scope]struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, scopes := time.Now(), make(map[journal.Scope]struct{})
	for per := range p.watch {
		s, until := per.status(now)
		p.due = earlier(p.due, until)
		if s.State == Offline && now.Before(per.absent) {
			p.due = earlier(p.due, per.absent)
			continue
		}
		about, found := loaded[per.user]
		if per.loading && !found {
			per.stale = true
			p.due = earlier(p.due, now.Add(retryTime))
		}
		per.loading = false
		if per.shown == nil && per.stale && !found {
			continue // it is not known yet whom to tell
		}
		// Of somebody who was never anything but offline nobody has to know.
		news := found && p.place(per, about) && (per.shown != nil || s.State != Offline || !per.absent.IsZero())
		if news || !per.shows(s) {
			p.tell(per, s, scopes)
		}
		if s.State == Offline && !per.stale {
			p.retire(per)
		}
	}
	if len(scopes) > 0 {
		p.last = now
		p.cost.Store(0)
	}
	return scopes
}

// place moves a user in the index to the rooms that the user is in now, and
// reports whether there is something to tell of it.
func (p *Presence) place(per *person, about About) (news bool) {
	news = per.shown == nil || string(about.Displayname) != string(per.about.Displayname) || string(about.AvatarURL) != string(per.about.AvatarURL)
	per.about = about
	for scope, e := range per.rooms {
		if !slices.Contains(about.Rooms, scope) {
			p.leave(scope, e)
			delete(per.rooms, scope)
		}
	}
	for _, scope := range about.Rooms {
		if per.rooms[scope] != nil {
			continue
		}
		g := p.rooms[scope]
		if g == nil {
			g = &gathering{people: list.New()}
			p.rooms[scope] = g
		}
		per.rooms[scope] = g.people.PushBack(per)
		news = true
	}
	return news
}

func (p *Presence) leave(scope journal.Scope, e *list.Element) {
	g := p.rooms[scope]
	if g.people.Remove(e); g.people.Len() == 0 {
		delete(p.rooms, scope)
	}
}

// tell gives what is to be told of a user a number.
func (p *Presence) tell(per *person, s Status, scopes map[journal.Scope]struct{}) {
	per.shown, per.absent = newShown(per, s), time.Time{}
	per.changed = p.board.number()
	scopes[per.scope] = struct{}{}
	if p.Announce != nil {
		p.Announce(per.user, slices.Collect(maps.Keys(per.rooms)), s)
	}
	for scope, e := range per.rooms {
		g := p.rooms[scope]
		g.people.MoveToFront(e)
		g.changed = per.changed
		scopes[scope] = struct{}{}
	}
}

// retire puts a user who is offline among those who may be forgotten, and forgets
// those that are too many.
func (p *Presence) retire(per *person) {
	delete(p.watch, per)
	if len(per.devices) > 0 {
		return // a sync is under way that will be the end of one
	}
	if per.quiet == nil {
		per.quiet = p.quiet.PushFront(per)
	}
	for p.quiet.Len() > p.offline {
		oldest := p.quiet.Remove(p.quiet.Back()).(*person)
		for scope, e := range oldest.rooms {
			p.leave(scope, e)
		}
		delete(p.people, oldest.user)
		p.sub.Remove(oldest.scope)
		p.floor = max(p.floor, oldest.changed)
	}
}
