package stateres_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
)

// spec returns what the event of a line is to say.
func (g *goldenGame) spec(l goldenLine) (roomtest.Spec, error) {
	extra, err := g.expand(l.json)
	if err != nil {
		return roomtest.Spec{}, err
	}
	spec := g.verb(l, extra)
	content, _ := spec.Content.(canonjson.Value)
	for name, value := range extra.Members() {
		content = content.With(name.String(), value)
	}
	if content == nil {
		content = canonjson.Value("{}")
	}
	spec.Content = content
	spec.ID = id.EventID("$" + l.label + ":" + string(spec.Sender.Server()))
	return spec, g.attributes(l, &spec)
}

// verb returns what the verb says, without what the JSON adds.
func (g *goldenGame) verb(l goldenLine, extra canonjson.Value) roomtest.Spec {
	user := func(i int) id.UserID { return goldenUser(l.args[i]) }
	switch l.verb {
	case "join":
		if len(l.args) == 3 && l.args[1] == "via" {
			return roomtest.JoinVia(user(0), user(2))
		}
		return roomtest.Join(user(0))
	case "leave":
		return roomtest.Leave(user(0))
	case "knock":
		return roomtest.Knock(user(0))
	case "invite":
		return roomtest.Invite(user(0), user(1))
	case "kick", "unban":
		return roomtest.Kick(user(0), user(1))
	case "ban":
		return roomtest.Ban(user(0), user(1))
	case "power":
		return roomtest.PowerLevels(user(0), g.powerLevels(l.args[1:], extra))
	case "rule":
		return roomtest.JoinRules(user(0), l.args[1])
	case "topic":
		return roomtest.Topic(user(0), l.args[1])
	case "say":
		return roomtest.Message(user(0), "said in line "+strconv.Itoa(l.num))
	case "redact":
		return roomtest.Redaction(user(0), g.room.Event(g.id(l.args[1])))
	case "issue":
		return roomtest.ThirdPartyInvite(user(0), l.args[1], id.ServerName(l.args[2]))
	case "claim":
		return claimGolden(l)
	case "send":
		return roomtest.Spec{Type: l.args[1], Sender: user(0)}
	default: // state
		return roomtest.State(user(0), l.args[1], g.stateKey(l.args[2:]), canonjson.Value("{}"))
	}
}

// claimGolden is what follows when a token turned out to belong to a user.
func claimGolden(l goldenLine) roomtest.Spec {
	sender, target, token, server := goldenUser(l.args[0]), goldenUser(l.args[1]), l.args[2], id.ServerName(l.args[3])
	signedFor := target
	if len(l.args) == 5 {
		signedFor = goldenUser(strings.TrimPrefix(l.args[4], "mxid="))
	}
	return roomtest.InviteSigned(sender, target, roomtest.Signed(signedFor, token, server))
}

// powerLevels reads "alice=100 bob=50". A creator who must not be listed is
// left out.
func (g *goldenGame) powerLevels(entries []string, extra canonjson.Value) canonjson.Value {
	users := canonjson.Value("{}")
	for _, entry := range entries {
		name, level, _ := strings.Cut(entry, "=")
		user := goldenUser(name)
		if g.room.Rules().PrivilegedCreators && eventauth.IsCreator(g.room.CreateEvent(), user) {
			continue
		}
		users = users.With(string(user), canonjson.Value(level))
	}
	if extra.Get("users") != nil {
		return nil
	}
	return canonjson.Value(nil).With("users", users)
}

// attributes applies those of a line.
func (g *goldenGame) attributes(l goldenLine, spec *roomtest.Spec) (err error) {
	spec.TS = g.time
	for name, value := range l.attrs {
		switch name {
		case "ts":
			spec.TS, err = g.timeOf(value)
		case "depth":
			spec.Depth, err = strconv.ParseInt(value, 10, 64)
		case "prev":
			spec.Prev, err = g.list(value, nil)
		case "auth":
			spec.Auth, err = g.list(value, g.selection(*spec))
		case "sign":
			for _, server := range strings.Split(value, ",") {
				spec.Signers = append(spec.Signers, id.ServerName(server))
			}
		case "room":
			spec.Edit = func(e canonjson.Value) canonjson.Value { return e.With("room_id", canonjson.Text(value)) }
		}
		if err != nil {
			return fmt.Errorf("@%s: %w", name, err)
		}
	}
	return nil
}

// timeOf reads "LABEL+1" or a number.
func (g *goldenGame) timeOf(text string) (int64, error) {
	if e := g.events[text]; e != nil {
		return e.OriginServerTS(), nil
	}
	m := goldenRelative.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is no time", text)
	}
	n, err := strconv.ParseInt(m[2], 10, 64)
	if err != nil {
		return 0, err
	}
	if m[1] == "" {
		return goldenStart + n, nil
	}
	return n + g.room.Event(g.id(m[1])).OriginServerTS(), nil
}

// list reads labels of events, or how to change the usual list.
func (g *goldenGame) list(text string, usual []*event.Event) ([]*event.Event, error) {
	list := []*event.Event{}
	if text == "none" {
		return list, nil
	}
	if text[0] == '+' || text[0] == '-' {
		list = usual
	}
	for _, label := range strings.Split(text, ",") {
		name := strings.TrimLeft(label, "+-")
		e := g.events[name]
		switch {
		case e == nil:
			return nil, fmt.Errorf("no event %s", name)
		case label[0] == '-':
			list = slices.DeleteFunc(list, func(other *event.Event) bool { return other == e })
		default:
			list = append(list, e)
		}
	}
	return list, nil
}

// selection returns the auth events that the state suggests.
func (g *goldenGame) selection(spec roomtest.Spec) []*event.Event {
	content, _ := spec.Content.(canonjson.Value)
	draft := eventauth.Draft{Type: spec.Type, StateKey: spec.StateKey, Sender: spec.Sender, Content: content}
	list := []*event.Event{}
	for _, t := range draft.Selection(g.room.Rules()) {
		if e := g.branch().StateEvent(t); e != nil {
			list = append(list, e)
		}
	}
	return list
}
