package eventauth_test

import (
	"slices"
	"strings"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/roomver"
)

func TestSelection(t *testing.T) {
	member := func(membership string, rest string) string {
		return `{"membership":"` + membership + `"` + rest + `}`
	}
	const thirdParty = `,"third_party_invite":{"signed":{"token":"tok"}}`
	const via = `,"join_authorised_via_users_server":"@alice:a.test"`
	for _, row := range []struct {
		name      string
		eventType string
		stateKey  *string
		content   string
		// want has C, P and J for create, power levels and join rules, the
		// first letter of a user for their membership, t for the third-party
		// invite; those in parentheses only where joins can be restricted.
		want string
	}{
		{"a message", "m.room.message", nil, `{}`, "C P b"},
		{"state", "m.room.topic", new(""), `{}`, "C P b"},
		{"state about another user", "m.custom", new("@carol:c.test"), `{}`, "C P b"},
		{"power levels", event.TypePowerLevels, new(""), `{}`, "C P b"},
		{"a third-party invite", event.TypeThirdPartyInvite, new("tok"), `{}`, "C P b"},
		{"own join", event.TypeMember, new("@bob:b.test"), member("join", ""), "C P b J"},
		{"own leave", event.TypeMember, new("@bob:b.test"), member("leave", ""), "C P b"},
		{"own knock", event.TypeMember, new("@bob:b.test"), member("knock", ""), "C P b J"},
		{"an invite", event.TypeMember, new("@carol:c.test"), member("invite", ""), "C P b c J"},
		{"a kick", event.TypeMember, new("@carol:c.test"), member("leave", ""), "C P b c"},
		{"a ban", event.TypeMember, new("@carol:c.test"), member("ban", ""), "C P b c"},
		{"a join of another", event.TypeMember, new("@carol:c.test"), member("join", ""), "C P b c J"},
		{"an unknown membership", event.TypeMember, new("@carol:c.test"), member("lurk", thirdParty+via), "C P b c"},
		{"no membership", event.TypeMember, new("@carol:c.test"), `{}`, "C P b c"},
		{"a member event that is no state", event.TypeMember, nil, member("join", ""), "C P b"},
		{"an invite after a third-party invite", event.TypeMember, new("@carol:c.test"), member("invite", thirdParty), "C P b c J t"},
		{"an invite with a token that is no string", event.TypeMember, new("@carol:c.test"),
			member("invite", `,"third_party_invite":{"signed":{"token":7}}`), "C P b c J"},
		{"a join with a third-party invite", event.TypeMember, new("@bob:b.test"), member("join", thirdParty), "C P b J"},
		{"an authorised join", event.TypeMember, new("@bob:b.test"), member("join", via), "C P b J (a)"},
		{"an authorised invite", event.TypeMember, new("@carol:c.test"), member("invite", via), "C P b c J"},
		{"a join authorised by the joining user", event.TypeMember, new("@bob:b.test"),
			member("join", `,"join_authorised_via_users_server":"@bob:b.test"`), "C P b J"},
		{"a join authorised by no string", event.TypeMember, new("@bob:b.test"),
			member("join", `,"join_authorised_via_users_server":["@alice:a.test"]`), "C P b J"},
	} {
		t.Run(row.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
				want := wantedPlaces(row.want, rules)
				draft := eventauth.Draft{Type: row.eventType, StateKey: row.stateKey, Sender: bob, Content: canonjson.Value(canonical(row.content))}
				if got := draft.Selection(rules); !slices.Equal(got, want) {
					t.Errorf("draft: got %q, want %q", got, want)
				}
				e := roomtest.New(t, rules.Version).Create(alice, nil).Build(
					roomtest.Spec{Type: row.eventType, StateKey: row.stateKey, Sender: bob, Content: row.content})
				if got := eventauth.Selection(e); !slices.Equal(got, want) {
					t.Errorf("event: got %q, want %q", got, want)
				}
			})
		})
	}
}

func wantedPlaces(letters string, rules *roomver.Rules) []event.Tuple {
	places := map[string]event.Tuple{
		"P": {Type: event.TypePowerLevels}, "J": {Type: event.TypeJoinRules},
		"a": {Type: event.TypeMember, StateKey: string(alice)}, "b": {Type: event.TypeMember, StateKey: string(bob)},
		"c": {Type: event.TypeMember, StateKey: string(carol)}, "t": {Type: event.TypeThirdPartyInvite, StateKey: "tok"},
	}
	if specNumber(eventauth.AuthNoCreate, rules) != "" {
		places["C"] = event.Tuple{Type: event.TypeCreate}
	}
	if specNumber(eventauth.JoinUnauthorised, rules) != "" {
		places["(a)"] = places["a"]
	}
	var want []event.Tuple
	for letter := range strings.FieldsSeq(letters) {
		if place, ok := places[letter]; ok {
			want = append(want, place)
		}
	}
	return want
}

func TestSelectionOfCreateEvent(t *testing.T) {
	eachVersion(t, func(t *testing.T, rules *roomver.Rules) {
		if got := eventauth.Selection(roomtest.New(t, rules.Version).Create(alice, nil).Heads()[0]); len(got) != 0 {
			t.Errorf("got %q, want nothing", got)
		}
	})
}
