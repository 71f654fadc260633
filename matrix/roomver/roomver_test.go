package roomver

import (
	"reflect"
	"slices"
	"testing"
)

func TestEveryStableVersionIsKnown(t *testing.T) {
	var got, proposals []Version
	for r := range Known() {
		if r.Unstable {
			proposals = append(proposals, r.Version)
		} else {
			got = append(got, r.Version)
		}
		if !r.Version.Valid() {
			t.Errorf("%q has not the form of a version", r.Version)
		}
		if again, ok := Lookup(r.Version); !ok || again != r {
			t.Errorf("Lookup(%q) gives other rules than Known", r.Version)
		}
	}
	want := []Version{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}
	if !slices.Equal(got, want) {
		t.Errorf("known versions are %v, want %v", got, want)
	}
	if want := []Version{"org.matrix.msc3757.10", "org.matrix.msc3757.11"}; !slices.Equal(proposals, want) {
		t.Errorf("versions of proposals are %v, want %v", proposals, want)
	}
	if _, ok := Lookup("13"); ok {
		t.Error("version 13 is known")
	}
	if r, ok := Lookup(Default); !ok || r.Unstable {
		t.Error("the default version is unknown or to be tried out")
	}
}

// TestWhereEachRuleIsInForce states the table the other way round, by
// question, so that a slip in the history shows.
func TestWhereEachRuleIsInForce(t *testing.T) {
	rows := []struct {
		rule  string
		holds func(*Rules) bool
		want  []Version
	}{
		{"state resolution v1", func(r *Rules) bool { return r.StateRes == StateResV1 }, span(1, 1)},
		{"state resolution v2", func(r *Rules) bool { return r.StateRes == StateResV2 }, span(2, 11)},
		{"state resolution v2.1", func(r *Rules) bool { return r.StateRes == StateResV21 }, span(12, 12)},
		{"carried event IDs", func(r *Rules) bool { return r.EventID == EventIDCarried }, span(1, 2)},
		{"standard hash IDs", func(r *Rules) bool { return r.EventID == EventIDStdHash }, span(3, 3)},
		{"URL-safe hash IDs", func(r *Rules) bool { return r.EventID == EventIDURLHash }, span(4, 12)},
		{"hashed references", func(r *Rules) bool { return r.HashedReferences }, span(1, 2)},
		{"room ID from create", func(r *Rules) bool { return r.RoomIDFromCreate }, span(12, 12)},
		{"depth of 63 bits", func(r *Rules) bool { return r.MaxDepth == 1<<63-1 }, span(1, 5)},
		{"depth of 53 bits", func(r *Rules) bool { return r.MaxDepth == 1<<53-1 }, span(6, 12)},
		{"strict JSON", func(r *Rules) bool { return r.StrictJSON }, span(6, 12)},
		{"key validity", func(r *Rules) bool { return r.KeyValidity }, span(5, 12)},
		{"redacts in content", func(r *Rules) bool { return r.RedactsInContent }, span(11, 12)},
		{"aliases rule", func(r *Rules) bool { return r.AliasesRule }, span(1, 5)},
		{"redaction rule", func(r *Rules) bool { return r.RedactionRule }, span(1, 2)},
		{"notification levels", func(r *Rules) bool { return r.NotificationLevels }, span(6, 12)},
		{"knock", func(r *Rules) bool { return r.Knock }, span(7, 12)},
		{"restricted", func(r *Rules) bool { return r.Restricted }, span(8, 12)},
		{"knock_restricted", func(r *Rules) bool { return r.KnockRestricted }, span(10, 12)},
		{"floaty levels", func(r *Rules) bool { return r.Levels == LevelsFloaty }, span(1, 5)},
		{"stringy levels", func(r *Rules) bool { return r.Levels == LevelsStringy }, span(6, 9)},
		{"strict levels", func(r *Rules) bool { return r.Levels == LevelsStrict }, span(10, 12)},
		{"creator in content", func(r *Rules) bool { return r.CreatorInContent }, span(1, 10)},
		{"owned state", func(r *Rules) bool { return r.OwnedState }, nil},
		{"privileged creators", func(r *Rules) bool { return r.PrivilegedCreators }, span(12, 12)},
		{"redaction keeps origin", keeps("origin"), span(1, 10)},
		{"redaction keeps membership at the top", keeps("membership"), span(1, 10)},
		{"redaction keeps prev_state", keeps("prev_state"), span(1, 10)},
		{"redaction keeps event_id", keeps("event_id"), span(1, 12)},
		{"redaction keeps unsigned", keeps("unsigned"), nil},
		{"redaction keeps aliases", keepsContent("m.room.aliases", "aliases"), span(1, 5)},
		{"redaction keeps allow", keepsContent("m.room.join_rules", "allow"), span(8, 12)},
		{"redaction keeps the authorising user", keepsContent("m.room.member", "join_authorised_via_users_server"), span(9, 12)},
		{"redaction keeps creator", keepsContent("m.room.create", "creator"), span(1, 12)},
		{"redaction keeps all of create", keepsContent("m.room.create", "anything"), span(11, 12)},
		{"redaction keeps the invite level", keepsContent("m.room.power_levels", "invite"), span(11, 12)},
		{"redaction keeps notification levels", keepsContent("m.room.power_levels", "notifications"), nil},
		{"redaction keeps redacts", keepsContent("m.room.redaction", "redacts"), span(11, 12)},
		{"redaction keeps signed invites", func(r *Rules) bool {
			return r.Redaction.Content["m.room.member"].Within == "third_party_invite"
		}, span(11, 12)},
	}
	for _, row := range rows {
		t.Run(row.rule, func(t *testing.T) {
			var got []Version
			for r := range Known() {
				if !r.Unstable && row.holds(r) {
					got = append(got, r.Version)
				}
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("in force in %v, want %v", got, row.want)
			}
		})
	}
}

// TestAProposalChangesNothingElse: its versions are those that they are named
// after, but for what it proposes.
func TestAProposalChangesNothingElse(t *testing.T) {
	rows := []struct {
		version, base Version
		undo          func(*Rules)
	}{
		{"org.matrix.msc3757.10", "10", func(r *Rules) { r.OwnedState = false }},
		{"org.matrix.msc3757.11", "11", func(r *Rules) { r.OwnedState = false }},
	}
	for _, row := range rows {
		proposed, _ := Lookup(row.version)
		base, _ := Lookup(row.base)
		undone := *proposed
		row.undo(&undone)
		if reflect.DeepEqual(undone, *proposed) {
			t.Errorf("version %s does not have what it proposes", row.version)
		}
		undone.Version, undone.Unstable = base.Version, false
		if !reflect.DeepEqual(undone, *base) {
			t.Errorf("version %s is %+v, want version %s otherwise: %+v", row.version, undone, row.base, *base)
		}
	}
}

func span(first, last int) []Version {
	all := []Version{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}
	return all[first-1 : last]
}

func keeps(key string) func(*Rules) bool {
	return func(r *Rules) bool { return slices.Contains(r.Redaction.Keys, key) }
}

func keepsContent(eventType, key string) func(*Rules) bool {
	return func(r *Rules) bool {
		kept := r.Redaction.Content[eventType]
		return kept.All || slices.Contains(kept.Keys, key)
	}
}

func TestKeptKeysAreSorted(t *testing.T) {
	for r := range Known() {
		if !slices.IsSorted(r.Redaction.Keys) {
			t.Errorf("version %s: top-level keys are not sorted", r.Version)
		}
		for eventType, kept := range r.Redaction.Content {
			if !slices.IsSorted(kept.Keys) || !slices.IsSorted(kept.WithinKeys) {
				t.Errorf("version %s: keys of %s are not sorted", r.Version, eventType)
			}
		}
	}
}

func TestVersionForm(t *testing.T) {
	rows := []struct {
		v    Version
		want bool
	}{
		{"1", true}, {"org.example-2.0", true}, {"", false}, {"A", false}, {"1 ", false},
		{"a123456789012345678901234567890b", true}, {"a123456789012345678901234567890bc", false},
	}
	for _, r := range rows {
		if got := r.v.Valid(); got != r.want {
			t.Errorf("Valid(%q) = %v", r.v, got)
		}
	}
}
