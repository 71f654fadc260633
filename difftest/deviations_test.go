package difftest

import (
	"maps"
	"slices"
	"strings"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"

	"parley/matrix/event"
	"parley/matrix/roomver"
)

// deviations are switches that make naive err as gomatrixserverlib does.
type deviations uint16

const (
	otherRules deviations = 1 << iota
	staleRule
	fillsItself
	conflictedChains
	backward
	strays
	powerlessCreator
	mainlineEnd
	mainlineSteps
	unknownCreate
	agreedLeftOut
	invitesFirst
	oddJoinRules
	allDeviations = iota
)

func (d deviations) has(one deviations) bool { return d&one != 0 }

// roomExplanations are in the order of the deviations.
var roomExplanations = [allDeviations]explanation[deviations]{
	deviation(otherRules, "authorises by its own rules", "rooms/v2, iterative auth checks: by the authorisation rules; see TestAuth for how they differ"),
	deviation(staleRule, "takes a restricted room for public, or for one by invitation, after it has checked one restricted join", "rooms/v8 rule 4.3.5: each join is authorised for itself"),
	deviation(fillsItself, "uses the event that it checks, instead of that event's auth event, where the state lacks something", "rooms/v2, iterative auth checks: the state event from the event's auth_events is used"),
	deviation(conflictedChains, "follows chains of power events inside the conflicted state set", "rooms/v2, algorithm, step 1: events in the auth chain which also belong to the full conflicted set"),
	deviation(backward, "sorts from the last event back, taking the greatest", "rooms/v2, reverse topological power ordering: at each step the smallest of the candidates, earliest first"),
	deviation(strays, "lists events twice, loses count of what leads to them, and puts those that remain first", "rooms/v2, reverse topological power ordering: of a set"),
	deviation(powerlessCreator, "gives the creator of a room without power levels no power when it sorts", "rooms/v2, power levels without the event: the creator has 100"),
	deviation(mainlineEnd, "takes events that never meet the mainline for those of its oldest event", "rooms/v2, mainline ordering: their position is infinite"),
	deviation(mainlineSteps, "sorts by the number of steps to the mainline before the time", "rooms/v2, mainline ordering: position, then origin_server_ts"),
	deviation(unknownCreate, "does not know the create event while it builds on the empty state, and panics or refuses all", "rooms/v12 rule 2: room_id is the ID of the create event"),
	deviation(agreedLeftOut, "leaves unconflicted events of the conflicted state subgraph out", "rooms/v12, full conflicted set: the union with the conflicted state subgraph"),
	deviation(invitesFirst, "resolves third-party invites before members in room version 1, as it does members", "rooms/v1, state resolution: power levels, join rules, members, then all others"),
	deviation(oddJoinRules, "resolves m.room.join_rules with a state key like ordinary events in room version 1", "rooms/v1, state resolution: repeat the process for conflicts between m.room.join_rules events"),
}

func deviation(d deviations, name, spec string) explanation[deviations] {
	return explanation[deviations]{name, spec, func(found deviations) bool { return found.has(d) }}
}

// gomatrixserverlib resolves the states of a room. ok is false when it
// panicked.
func (r *forkedRoom) gomatrixserverlib() (result stateMap, ok bool) {
	sets, auth := r.forOther()
	if r.rules.StateRes == roomver.StateResV1 {
		auth = auth[:0]
		unconflicted, _ := (&naive{states: r.states}).splitV1()
		for _, e := range unconflicted {
			auth = append(auth, r.pdus[e.ID()])
		}
	}
	rejected := func(eventID string) bool { return r.rejected[eventIDOf(eventID)] }
	var events []gomatrixserverlib.PDU
	err := guard(func() (err error) {
		events, err = gomatrixserverlib.ResolveConflictsNew(gomatrixserverlib.RoomVersion(r.rules.Version), sets, auth, userOf, rejected)
		return err
	})
	if err != nil {
		return nil, false
	}
	result = make(stateMap, len(events))
	for _, pdu := range events {
		e := r.byID[eventIDOf(pdu.EventID())]
		t, _ := e.Tuple()
		result[t] = e
	}
	return result, true
}

// strays returns the events of X that gomatrixserverlib fails to sort, in the
// order it gives them. It lists an event once for each set that has it, and
// once more when another leads to it, counts the edges of each listing, but
// takes each event off only once.
func (n *naive) strays(x, conflicted eventSet, unconflicted stateMap) []*event.Event {
	exclusive := naive{room: n.room, states: n.states, literalChains: true, chains: n.chains}
	difference := exclusive.authDifference()
	if n.room.rules.StateRes == roomver.StateResV21 {
		difference.addAll(n.subgraph(conflicted))
	}
	agreed := make(eventSet)
	for _, e := range unconflicted {
		agreed.add(e)
	}
	listed := make(map[*event.Event]int)
	led := make(eventSet)
	for _, e := range x {
		if isPower(e) && !agreed.has(e) {
			if conflicted.has(e) {
				listed[e]++
			}
			if difference.has(e) {
				listed[e]++
			}
		}
		for _, a := range n.authEvents(e) {
			if conflicted.has(a) {
				led.add(a)
			}
		}
	}
	for _, e := range led {
		listed[e]++
	}
	// An event with edges that are never taken off is stray, and so is what a
	// stray event leads to.
	stray := make(eventSet)
	for again := true; again; {
		again = false
		for _, e := range x {
			for _, a := range n.authEvents(e) {
				if x.has(a) && !stray.has(a) && (listed[e] > 1 || stray.has(e)) {
					stray.add(a)
					again = true
				}
			}
		}
	}
	return slices.SortedFunc(maps.Values(stray), n.comparePower)
}

// backwardOrdering takes, again and again, the greatest of the events that no
// other is left to follow, and puts it in front.
func (n *naive) backwardOrdering(left eventSet) []*event.Event {
	left = maps.Clone(left)
	var ordered []*event.Event
	for len(left) > 0 {
		var last *event.Event
		for _, e := range left {
			followed := false
			for _, f := range left {
				followed = followed || slices.Contains(n.authEvents(f), e)
			}
			if !followed && (last == nil || n.comparePower(e, last) > 0) {
				last = e
			}
		}
		ordered = append(ordered, last)
		delete(left, last.ID())
	}
	slices.Reverse(ordered)
	return ordered
}

// needed are the places of the state that gomatrixserverlib looks up, in its
// order.
func (n *naive) needed(e *event.Event) []event.Tuple {
	var tuples []event.Tuple
	for _, t := range gomatrixserverlib.StateNeededForAuth([]gomatrixserverlib.PDU{n.room.pdus[e.ID()]}).Tuples() {
		tuples = append(tuples, event.Tuple{Type: t.EventType, StateKey: t.StateKey})
	}
	return tuples
}

// filledWithItself puts an event into its own place where the state lacks
// something that its auth events have.
func (n *naive) filledWithItself(state stateMap, e *event.Event) stateMap {
	own, _ := e.Tuple()
	filled := make(stateMap)
	listed := n.authEvents(e)
	if n.room.rules.RoomIDFromCreate {
		listed = append(listed, n.room.create)
		if !n.deviations.has(unknownCreate) {
			filled[event.Tuple{Type: event.TypeCreate}] = n.room.create
		}
	}
	for _, t := range n.needed(e) {
		if there := state[t]; there != nil {
			filled[t] = there
			continue
		}
		for _, a := range listed {
			if a.IsState(t.Type, t.StateKey) && !n.room.rejected[a.ID()] {
				filled[own] = e
			}
		}
	}
	return filled
}

// staleJoinRule is what gomatrixserverlib remembers of the join rules between
// two events.
type staleJoinRule struct {
	event *event.Event
	rule  string
}

func (n *naive) allowedByOther(e *event.Event, state stateMap) bool {
	p := &provider{n: n, state: state}
	looks := false
	for _, t := range n.needed(e) {
		looks = looks || t.Type == event.TypeJoinRules
	}
	rules := state[event.Tuple{Type: event.TypeJoinRules}]
	if !looks {
		rules = nil
	}
	if rules == nil || n.joins.event != rules {
		n.joins = staleJoinRule{event: rules}
	} else if n.deviations.has(staleRule) && n.joins.rule != "" {
		p.joinRule = n.joins.rule
	}
	pdu := n.room.pdus[e.ID()]
	allowed := guard(func() error { return gomatrixserverlib.Allowed(pdu, p, userOf) }) == nil
	if rules != nil {
		n.remember(e, state, rules, allowed)
	}
	return allowed
}

// remember notes what the check of a join does to the join rule.
func (n *naive) remember(e *event.Event, state stateMap, rules *event.Event, allowed bool) {
	rule := n.joins.rule
	if rule == "" {
		rule, _ = rules.Content().Get("join_rule").Text()
	}
	if !n.room.rules.Restricted || !strings.HasSuffix(rule, "restricted") || e.Membership() != "join" || !e.IsState(event.TypeMember, string(e.Sender())) {
		return
	}
	current := "leave"
	if m := state[event.Tuple{Type: event.TypeMember, StateKey: string(e.Sender())}]; m != nil {
		current = m.Membership()
	}
	via, _ := e.Content().Get("join_authorised_via_users_server").Text()
	switch {
	case current == "ban":
	case current == "join", current == "invite", via == "":
		n.joins.rule = "invite"
	case allowed:
		n.joins.rule = "public"
	}
}

// provider is a state for gomatrixserverlib.
type provider struct {
	n        *naive
	state    stateMap
	joinRule string // in place of the true one, if not empty
}

func (p *provider) find(eventType, stateKey string) (gomatrixserverlib.PDU, error) {
	e := p.state[event.Tuple{Type: eventType, StateKey: stateKey}]
	if e == nil {
		return nil, nil
	}
	return p.n.room.pdus[e.ID()], nil
}

func (p *provider) Create() (gomatrixserverlib.PDU, error) { return p.find(event.TypeCreate, "") }
func (p *provider) PowerLevels() (gomatrixserverlib.PDU, error) {
	return p.find(event.TypePowerLevels, "")
}

func (p *provider) JoinRules() (gomatrixserverlib.PDU, error) {
	pdu, err := p.find(event.TypeJoinRules, "")
	if p.joinRule == "" || pdu == nil {
		return pdu, err
	}
	e := p.state[event.Tuple{Type: event.TypeJoinRules}]
	changed := e.JSON().With("content", mustCanonical(`{"join_rule":`+quote(p.joinRule)+`}`))
	return p.n.room.other.NewEventFromTrustedJSON(changed, false)
}

func (p *provider) Member(key spec.SenderID) (gomatrixserverlib.PDU, error) {
	return p.find(event.TypeMember, string(key))
}

func (p *provider) ThirdPartyInvite(token string) (gomatrixserverlib.PDU, error) {
	return p.find(event.TypeThirdPartyInvite, token)
}

func (p *provider) Valid() bool { return true }
