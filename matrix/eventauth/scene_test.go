package eventauth_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// The people of the scenes. Those without a comment are joined with level 0.
const (
	alice = roomtest.Alice            // created the room
	mod   = id.UserID("@mod:m.test")  // joined with level 50
	peer  = id.UserID("@peer:p.test") // the same
	bob   = roomtest.Bob
	carol = roomtest.Carol            // never was in the room
	dave  = id.UserID("@dave:d.test") // the same
)

const identityServer id.ServerName = "identity.test"

func eachVersion(t *testing.T, f func(t *testing.T, rules *roomver.Rules)) {
	t.Helper()
	for rules := range roomver.Known() {
		t.Run("version "+string(rules.Version), func(t *testing.T) { f(t, rules) })
	}
}

// scene is a public room with its people.
func scene(tb testing.TB, rules *roomver.Rules) *roomtest.Branch {
	tb.Helper()
	return sceneOf(tb, rules, nil)
}

// sceneOf adds content to the create event of a scene.
func sceneOf(tb testing.TB, rules *roomver.Rules, create any) *roomtest.Branch {
	tb.Helper()
	main := roomtest.New(tb, rules.Version).Create(alice, create)
	main.Send(roomtest.Join(alice), levels(main, `{}`), roomtest.JoinRules(alice, "public"),
		roomtest.Join(mod), roomtest.Join(peer), roomtest.Join(bob))
	return main
}

// levels is a power levels event by alice: those of the scene and what changes
// adds to them. Changes under users are added to those of the scene, from which
// null removes one.
func levels(b *roomtest.Branch, changes string) roomtest.Spec {
	return levelsBy(b, alice, changes)
}

func levelsBy(b *roomtest.Branch, sender id.UserID, changes string) roomtest.Spec {
	added := canonical(changes)
	users := canonical(`{"@mod:m.test":50,"@peer:p.test":50}`)
	if !b.Room().Rules().PrivilegedCreators {
		users = users.With(string(alice), canonjson.Value("100"))
	}
	content := overlay(nil, added)
	if added := added.Get("users"); added.Kind() == canonjson.Object || added == nil {
		for name, value := range added.Members() {
			if users = users.With(name.String(), value); value.Kind() == canonjson.Null {
				users = users.Without(name.String())
			}
		}
		content = content.With("users", users)
	}
	return roomtest.PowerLevels(sender, content)
}

func overlay(object, changes canonjson.Value) canonjson.Value {
	if object == nil {
		object = canonjson.Value("{}")
	}
	for name, value := range changes.Members() {
		object = object.With(name.String(), value)
	}
	return object
}

func canonical(json string) canonjson.Value {
	v, err := canonjson.Canonical([]byte(json), canonjson.Lenient)
	if err != nil {
		panic(err)
	}
	return v
}

// judge builds the event and asks both halves of the rules about it.
func judge(b *roomtest.Branch, spec roomtest.Spec) error { return judgeEvent(b, b.Build(spec)) }

func judgeEvent(b *roomtest.Branch, e *event.Event) error {
	room := b.Room()
	known := eventauth.AuthEvents{Events: room.AuthEvents(e), Create: room.CreateEvent(), SignedBy: verifiedBy(e)}
	if err := eventauth.CheckAuthEvents(e, known); err != nil {
		return err
	}
	return eventauth.Check(e, b)
}

func verifiedBy(e *event.Event) func(id.ServerName) bool {
	verifier := event.NewVerifier(0)
	return func(server id.ServerName) bool { return verifier.VerifyServer(e, server, roomtest.Keys) == nil }
}

// wantVerdict fails unless err is a refusal by the rule, with the number that
// the specification gives it; rule 0 stands for an event that is allowed.
func wantVerdict(t *testing.T, rules *roomver.Rules, err error, rule eventauth.Rule) {
	t.Helper()
	if rule == 0 {
		if err != nil {
			t.Errorf("got %v, want the event allowed", err)
		}
		return
	}
	var refusal *eventauth.Refusal
	if !errors.As(err, &refusal) {
		t.Errorf("got %v, want a refusal because %s", err, rule)
		return
	}
	number := specNumber(rule, rules)
	if refusal.Rule != rule || refusal.Number != number {
		t.Errorf("got %q, want rule %q: %s", refusal, number, rule)
	}
	if refusal.Version != rules.Version || refusal.Event == "" || !strings.Contains(refusal.Error(), "rule "+number+" of") {
		t.Errorf("refusal is incomplete: %q", refusal)
	}
}

// specNumber looks the number of a rule up in numbers; "" means that the room
// version has no such rule.
func specNumber(rule eventauth.Rule, rules *roomver.Rules) string {
	proposal, base := "", string(rules.Version)
	if i := strings.LastIndexByte(base, '.'); i >= 0 {
		proposal, base = base[:i], base[i+1:]
	}
	version, err := strconv.Atoi(base)
	if err != nil {
		panic("the table of numbers is for versions that are numbers: " + err.Error())
	}
	for entry := range strings.SplitSeq(numbers[rule], ", ") {
		versions, number, _ := strings.Cut(entry, ": ")
		if versions == proposal {
			return strings.TrimSuffix(number, "none")
		}
		first, last, isRange := strings.Cut(versions, "-")
		if !isRange {
			last = first
		}
		from, _ := strconv.Atoi(first)
		to, _ := strconv.Atoi(last)
		if from <= version && version <= to {
			return number
		}
	}
	return ""
}
