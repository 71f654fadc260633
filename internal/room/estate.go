package room

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

const typeCanonicalAlias = "m.room.canonical_alias"

// estate is what a room that is replaced has to leave. Of events that were
// redacted it has what is left of them.
type estate struct {
	rules  *roomver.Rules
	state  map[event.Tuple]*event.Event // less members
	bans   []*event.Event
	levels eventauth.Levels
}

// inherited are the types of state that a new room takes over as they are, in the
// order in which it gets them. The specification leaves the list to the server.
// What means something only together with who sent it, or names events of the old
// room, stays there.
var inherited = [...]struct {
	eventType string
	keyed     bool // each state key, not only the empty one
	needs     string
}{
	{eventType: event.TypeServerACL},
	{eventType: "m.room.encryption", needs: "algorithm"},
	{eventType: event.TypeHistoryVisibility},
	{eventType: "m.room.guest_access"},
	{eventType: "m.room.name"},
	{eventType: "m.room.avatar"},
	{eventType: "m.room.topic"},
	{eventType: "m.room.policy"},
	{eventType: TypeRetention},
	{eventType: "m.space.child", keyed: true, needs: "via"},
	{eventType: "m.space.parent", keyed: true, needs: "via"},
	{eventType: "m.policy.rule.user", keyed: true, needs: "recommendation"},
	{eventType: "m.policy.rule.room", keyed: true, needs: "recommendation"},
	{eventType: "m.policy.rule.server", keyed: true, needs: "recommendation"},
}

// estate reads what a room has to leave at a moment.
func (g *Engine) estate(ctx context.Context, r *live, now Moment) (estate, error) {
	e := estate{rules: r.rules, state: make(map[event.Tuple]*event.Event)}
	items, err := g.StateOf(ctx, r.id, now.Root, nil)
	if err != nil {
		return e, err
	}
	for _, it := range items {
		t, _ := it.Event.Tuple()
		e.state[t] = it.Event
	}
	e.levels = eventauth.NewLevels(e.state[event.Tuple{Type: event.TypeCreate}], e.state[event.Tuple{Type: event.TypePowerLevels}])
	e.bans, err = g.bans(ctx, r)
	return e, err
}

// bans returns the member events of who is banned from a room, oldest first.
func (g *Engine) bans(ctx context.Context, r *live) ([]*event.Event, error) {
	var nums []stateres.Num
	err := g.db.View(ctx, func(tx *store.Tx) (err error) {
		nums, err = store.List[stateres.Num](tx,
			"SELECT event FROM memberships WHERE room = $1 AND membership = $2 ORDER BY event", r.num, event.MembershipBan)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading who is banned from %s: %w", r.id, err)
	}
	items, err := g.itemsOf(ctx, r, nums)
	var bans []*event.Event
	for _, it := range items {
		bans = append(bans, it.Event)
	}
	return bans, err
}

// content returns the content of a piece of state, nil without one.
func (e estate) content(eventType string) canonjson.Value {
	if found := e.state[event.Tuple{Type: eventType}]; found != nil {
		return found.Content()
	}
	return nil
}

// create returns what the create event of the new room takes over, with its
// further creators: those of the old room are not taken over.
func (e estate) create(s succession) canonjson.Value {
	content := canonjson.Value("{}")
	old := e.content(event.TypeCreate)
	if roomType := old.Get("type"); roomType.Kind() == canonjson.String {
		content = content.With("type", roomType)
	}
	if federate := old.Get("m.federate"); federate.False() {
		content = content.With("m.federate", federate)
	}
	var creators []canonjson.Value
	for i, user := range s.Creators {
		if user != s.Sender && !slices.Contains(s.Creators[:i], user) {
			creators = append(creators, canonjson.Text(string(user)))
		}
	}
	if !s.fresh.rules.PrivilegedCreators || len(creators) == 0 {
		return content
	}
	return content.With("additional_creators", canonjson.ArrayOf(creators))
}

// drafts returns the events of the new room behind its create event. The power
// levels come last: until then, its creator may send all that the old room has,
// which in the old room may have taken somebody else. Nor may anybody join before
// those are banned who are. What the new room does not take, because its version is
// stricter, it does not get.
func (e estate) drafts(s succession) []Draft {
	d := drafting{sender: s.Sender}
	d.state(event.TypeMember, string(s.Sender), s.Profile.With("membership", canonjson.Text(event.MembershipJoin)))
	for _, kind := range inherited {
		for _, t := range e.tuples(kind.eventType, kind.keyed) {
			content := e.state[t].Content()
			if string(content) != "{}" && (kind.needs == "" || content.Get(kind.needs) != nil) {
				d.optional(t.Type, t.StateKey, content)
			}
		}
	}
	if content := e.movedAliases(s.old.engine.server); content != nil {
		d.optional(typeCanonicalAlias, "", content)
	}
	for _, ban := range e.bans {
		user, _ := ban.StateKey()
		content := object("membership", canonjson.Text(event.MembershipBan))
		if reason := ban.Content().Get("reason"); reason.Kind() == canonjson.String {
			content = content.With("reason", reason)
		}
		d.optional(event.TypeMember, user, content)
	}
	d.optional(event.TypeJoinRules, "", joinRule(e.content(event.TypeJoinRules), s.fresh.rules))
	d.state(event.TypePowerLevels, "", e.inheritedLevels(s.Sender, s.Creators, s.fresh.rules))
	return d.drafts
}

// tuples returns the places of the state that are of a type, in order.
func (e estate) tuples(eventType string, keyed bool) []event.Tuple {
	if !keyed {
		t := event.Tuple{Type: eventType}
		if e.state[t] == nil {
			return nil
		}
		return []event.Tuple{t}
	}
	var found []event.Tuple
	for t := range e.state {
		if t.Type == eventType {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b event.Tuple) int { return strings.Compare(a.StateKey, b.StateKey) })
	return found
}

// joinRule returns a join rule in a room version: where the version does not know
// it nobody could join, so it becomes the closest one that keeps strangers out.
func joinRule(content canonjson.Value, to *roomver.Rules) canonjson.Value {
	rule, _ := content.Get("join_rule").Text()
	next := rule
	if next == "knock_restricted" && !to.KnockRestricted {
		next = "restricted"
	}
	if next == "restricted" && !to.Restricted {
		next = "invite"
		if rule == "knock_restricted" {
			next = "knock"
		}
	}
	if next == "knock" && !to.Knock || next == "" {
		next = "invite"
	}
	if next == rule {
		return content
	}
	if content.Kind() != canonjson.Object {
		content = canonjson.Value("{}")
	}
	return content.With("join_rule", canonjson.Text(next))
}

// movedAliases returns what the canonical alias event of the new room says: the
// aliases of this server, which move. Nil: there are none.
func (e estate) movedAliases(server id.ServerName) canonjson.Value {
	return e.aliases(func(alias id.RoomAlias) bool { return alias.Server() == server })
}

// leftAliases returns what is left in that of the old room, nil if it stays as it
// is.
func (e estate) leftAliases(server id.ServerName) canonjson.Value {
	if e.movedAliases(server) == nil {
		return nil
	}
	left := e.aliases(func(alias id.RoomAlias) bool { return alias.Server() != server })
	if left == nil {
		return canonjson.Value("{}")
	}
	return left
}

func (e estate) aliases(keep func(id.RoomAlias) bool) canonjson.Value {
	old := e.content(typeCanonicalAlias)
	kept := func(v canonjson.Value) bool {
		text, _ := v.Text()
		alias, err := id.ParseRoomAlias(text)
		return err == nil && keep(alias)
	}
	var content canonjson.Value
	if alias := old.Get("alias"); kept(alias) {
		content = content.With("alias", alias)
	}
	var others []canonjson.Value
	for v := range old.Get("alt_aliases").Elements() {
		if kept(v) {
			others = append(others, v)
		}
	}
	if len(others) > 0 {
		content = content.With("alt_aliases", canonjson.ArrayOf(others))
	}
	return content
}
