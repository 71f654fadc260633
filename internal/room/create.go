package room

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"parley/internal/journal"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// A Preset is a set of state events that a room begins with.
type Preset string

const (
	PrivateChat        Preset = "private_chat"
	TrustedPrivateChat Preset = "trusted_private_chat"
	PublicChat         Preset = "public_chat"
)

// NewRoom is a room that somebody wants:
// https://spec.matrix.org/v1.19/client-server-api/#creation
type NewRoom struct {
	Creator id.UserID
	Version roomver.Version // empty for the default
	Preset  Preset          // empty for PrivateChat
	// Content has members to be added to the content of the create event.
	Content canonjson.Value
	// Levels has members that replace those of the first power levels.
	Levels  canonjson.Value
	State   []Draft // initial state; the sender is filled in
	Alias   id.RoomAlias
	Name    string
	Topic   string
	Invites []id.UserID
	Direct  bool // the invites are to a direct chat
	// With, if not nil, adds to the batch that makes the room what is to be made
	// with it, or refuses it.
	With func(b *journal.Batch, roomID id.RoomID) error
	// Profiles is what the member events of the creator and the invited say
	// beside the membership.
	Profiles map[id.UserID]canonjson.Value

	// abroad are those of the invited who are of other servers.
	abroad []id.UserID
}

// Create makes a room with all that is wanted of it, in one append, and then invites
// those of other servers, who cannot be asked before there is a room. If one of their
// servers refuses, that is the error, and the room is there all the same. What is
// interrupted goes on in the background, see [Engine.RunInvites].
func (g *Engine) Create(ctx context.Context, n NewRoom) (id.RoomID, Sent, error) {
	if n.Version == "" {
		n.Version = roomver.Default
	}
	rules, ok := roomver.Lookup(n.Version)
	if !ok {
		return "", Sent{}, mxerr.New(mxerr.UnsupportedRoomVersion, "This server does not know room version %q", n.Version)
	}
	for _, user := range n.Invites {
		if user.Server() != g.server && g.elsewhere != nil {
			n.abroad = append(n.abroad, user)
		}
	}
	for range attempts {
		roomID, sent, err := g.create(ctx, n, rules)
		if err == nil {
			return roomID, sent, g.inviteAll(ctx, roomID, n)
		}
		if !errors.Is(err, errConflict) {
			return roomID, sent, err
		}
	}
	return "", Sent{}, fmt.Errorf("creating a room: %w", errConflict)
}

// create tries it once. The error is errConflict when another node has just made
// the same room.
func (g *Engine) create(ctx context.Context, n NewRoom, rules *roomver.Rules) (id.RoomID, Sent, error) {
	num, err := reserveNumbers(ctx, g.db, "room", 1)
	if err != nil {
		return "", Sent{}, err
	}
	r := newLive(g, Num(num), rules)
	drafts, err := n.drafts(rules)
	if err != nil {
		return "", Sent{}, err
	}
	if !rules.RoomIDFromCreate {
		if r.id, err = id.NewRoomID(rand.Text(), g.server); err != nil {
			return "", Sent{}, err
		}
	}
	a, wait, err := r.begin(ctx, drafts, func(b *journal.Batch, roomID id.RoomID) error {
		n.owe(b, r.num)
		if n.With == nil {
			return nil
		}
		return n.With(b, roomID)
	})
	if err != nil {
		return "", Sent{}, invalidState(err)
	}
	pos, err := r.settle(a, wait)
	if err != nil {
		return "", Sent{}, fmt.Errorf("creating room %s: %w", r.id, err)
	}
	return r.id, Sent{EventID: a.entries[0].event.ID(), Pos: pos}, nil
}

// begin builds the first events of a room and hands them to the journal, with what
// is to be made together with the room.
func (r *live) begin(
	ctx context.Context, drafts []Draft, with func(*journal.Batch, id.RoomID) error,
) (a appended, wait func() (journal.Position, error), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.row
	made, err := r.buildAll(ctx, drafts)
	if err != nil {
		return a, nil, err
	}
	a = r.finish(before, made)
	return a, r.engine.journal.Submit(func(b *journal.Batch) error {
		if err := a.change(b); err != nil {
			return err
		}
		return with(b, r.id)
	}), nil
}

// invalidState is what a client is told when its room contradicts itself.
func invalidState(err error) error {
	if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) && refusal.Code == mxerr.Forbidden {
		return mxerr.New(mxerr.InvalidRoomState, "%s", refusal.Message).Wrap(err)
	}
	return err
}

// drafts returns the events of a new room in the order that the specification
// gives.
func (n NewRoom) drafts(rules *roomver.Rules) ([]Draft, error) {
	create, err := n.createContent(rules)
	if err != nil {
		return nil, err
	}
	d := drafting{sender: n.Creator}
	d.state(event.TypeCreate, "", create)
	d.state(event.TypeMember, string(n.Creator), n.member(n.Creator, event.MembershipJoin))
	d.state(event.TypePowerLevels, "", n.levels(rules))
	if n.Alias != "" {
		d.state(typeCanonicalAlias, "", object("alias", canonjson.Text(string(n.Alias))))
	}
	n.preset(&d)
	for _, s := range n.State {
		key := ""
		if s.StateKey != nil {
			key = *s.StateKey
		}
		if s.Type == event.TypeCreate {
			return nil, mxerr.New(mxerr.InvalidRoomState, "The create event cannot be part of the initial state")
		}
		d.state(s.Type, key, s.Content)
	}
	if n.Name != "" {
		d.state("m.room.name", "", object("name", canonjson.Text(n.Name)))
	}
	if n.Topic != "" {
		d.state("m.room.topic", "", topicContent(n.Topic))
	}
	for _, user := range n.Invites {
		if slices.Contains(n.abroad, user) {
			continue
		}
		d.state(event.TypeMember, string(user), n.member(user, event.MembershipInvite))
	}
	return d.drafts, nil
}

// topicContent is the content of a topic event, for clients of old and of new.
func topicContent(text string) canonjson.Value {
	plain := object("body", canonjson.Text(text)).With("mimetype", canonjson.Text("text/plain"))
	return object("m.topic", object("m.text", canonjson.ArrayOf([]canonjson.Value{plain}))).With("topic", canonjson.Text(text))
}

// drafting collects state events of one sender.
type drafting struct {
	sender id.UserID
	drafts []Draft
}

func (d *drafting) state(eventType, stateKey string, content canonjson.Value) {
	d.drafts = append(d.drafts, Draft{Type: eventType, StateKey: &stateKey, Sender: d.sender, Content: content})
}

// optional is state for something that the room may refuse.
func (d *drafting) optional(eventType, stateKey string, content canonjson.Value) {
	d.state(eventType, stateKey, content)
	d.drafts[len(d.drafts)-1].optional = true
}

// preset adds the state that the preset stands for, less what the initial state
// says otherwise: of two events in one place only the later would be seen.
func (n NewRoom) preset(d *drafting) {
	joinRule, guests := "invite", "can_join"
	if n.Preset == PublicChat {
		joinRule, guests = "public", "forbidden"
	}
	for _, s := range []struct{ eventType, key, value string }{
		{event.TypeJoinRules, "join_rule", joinRule},
		{event.TypeHistoryVisibility, "history_visibility", "shared"},
		{"m.room.guest_access", "guest_access", guests},
	} {
		given := slices.ContainsFunc(n.State, func(d Draft) bool {
			return d.Type == s.eventType && (d.StateKey == nil || *d.StateKey == "")
		})
		if !given {
			d.state(s.eventType, "", object(s.key, canonjson.Text(s.value)))
		}
	}
}

func (n NewRoom) createContent(rules *roomver.Rules) (canonjson.Value, error) {
	content := canonjson.Value("{}")
	if n.Content != nil {
		content = n.Content
	}
	content = content.With("room_version", canonjson.Text(string(rules.Version)))
	content = content.Without("creator")
	if rules.CreatorInContent {
		content = content.With("creator", canonjson.Text(string(n.Creator)))
	}
	if !rules.PrivilegedCreators {
		return content, nil
	}
	creators, err := furtherCreators(content)
	if err != nil || n.Preset != TrustedPrivateChat || len(n.Invites) == 0 {
		return content, err
	}
	// The invitees of a trusted chat are creators as well.
	for _, user := range n.Invites {
		if !slices.Contains(creators, string(user)) {
			creators = append(creators, string(user))
		}
	}
	list, err := canonjson.Marshal(creators)
	return content.With("additional_creators", list), err
}

// furtherCreators returns the creators that the content of a create event names.
func furtherCreators(content canonjson.Value) (creators []string, err error) {
	list := content.Get("additional_creators")
	if list != nil && list.Kind() != canonjson.Array {
		return nil, mxerr.New(mxerr.BadJSON, "additional_creators is not a list")
	}
	for v := range list.Elements() {
		user, _ := v.Text()
		if _, err := id.ParseUserID(user); err != nil {
			return nil, mxerr.New(mxerr.BadJSON, "additional_creators must be a list of user IDs").Wrap(err)
		}
		creators = append(creators, user)
	}
	return creators, nil
}

// levels returns the first power levels: the creator may do everything, others
// may talk, and what breaks a room when it goes wrong takes the creator.
func (n NewRoom) levels(rules *roomver.Rules) canonjson.Value {
	tombstone := 100
	users := canonjson.Value("{}")
	if rules.PrivilegedCreators {
		tombstone = 150
	} else {
		users = users.With(string(n.Creator), level(100))
		if n.Preset == TrustedPrivateChat {
			for _, user := range n.Invites {
				users = users.With(string(user), level(100))
			}
		}
	}
	events := canonjson.Value("{}")
	for eventType, required := range map[string]int{
		"m.room.name": 50, "m.room.avatar": 50, typeCanonicalAlias: 50,
		event.TypePowerLevels: 100, event.TypeHistoryVisibility: 100, event.TypeServerACL: 100,
		"m.room.encryption": 100, "m.room.tombstone": tombstone,
	} {
		events = events.With(eventType, level(required))
	}
	content := canonjson.Value("{}")
	for key, value := range map[string]canonjson.Value{
		"users": users, "users_default": level(0), "events": events, "events_default": level(0),
		"state_default": level(50), "ban": level(50), "kick": level(50), "redact": level(50), "invite": level(0),
	} {
		content = content.With(key, value)
	}
	for key, value := range n.Levels.Members() {
		content = content.With(key.String(), value)
	}
	if rules.PrivilegedCreators && n.Levels.Get("events").Get(typeTombstone) == nil {
		content = withTombstone(content, tombstone)
	}
	return content
}

// withTombstone returns levels in which a tombstone takes more than other state:
// whoever may send one can become the creator of the next room.
func withTombstone(content canonjson.Value, tombstone int) canonjson.Value {
	events := content.Get("events")
	least, isLevel := content.Get("state_default").Int()
	if events.Kind() != canonjson.Object || !isLevel {
		return content // it is refused
	}
	level := max(int64(tombstone), min(least, maxLevel-1)+1)
	return content.With("events", events.With(typeTombstone, number(eventauth.Level(level))))
}

func level(n int) canonjson.Value { return canonjson.Value(strconv.Itoa(n)) }

func object(key string, value canonjson.Value) canonjson.Value {
	return canonjson.Value("{}").With(key, value)
}

func (n NewRoom) member(user id.UserID, membership string) canonjson.Value {
	content := n.Profiles[user].With("membership", canonjson.Text(membership))
	if n.Direct && membership == event.MembershipInvite {
		content = content.With("is_direct", canonjson.Value("true"))
	}
	return content
}
