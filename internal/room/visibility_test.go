package room

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"parley/matrix/canonjson"
	"parley/matrix/event"
)

func TestVisible(t *testing.T) {
	m := func(place int64, membership string) MembershipAt {
		return MembershipAt{Place: place, Membership: membership}
	}
	merged := func(m MembershipAt) MembershipAt {
		m.Merged = true
		return m
	}
	v := func(place int64, visibility Visibility) VisibilityAt {
		return VisibilityAt{Place: place, Visibility: visibility}
	}
	rows := []struct {
		name         string
		memberships  []MembershipAt
		visibilities []VisibilityAt
		want         []Interval
	}{
		{"a stranger sees nothing", nil, []VisibilityAt{v(2, Shared)}, nil},
		{"a stranger sees nothing in a room that says nothing", nil, nil, nil},
		{"a stranger sees a world-readable room from that event on", nil, []VisibilityAt{v(3, WorldReadable)}, []Interval{{3, 10}}},
		{"and until it ends, that event included", nil, []VisibilityAt{v(3, WorldReadable), v(6, Shared)}, []Interval{{3, 6}}},
		{"a member sees all that is shared", []MembershipAt{m(5, "join")}, nil, []Interval{{1, 10}}},
		{"of joined history only what hid it, and from the join on", []MembershipAt{m(5, "join")}, []VisibilityAt{v(1, Joined)}, []Interval{{1, 1}, {5, 10}}},
		{"who left sees what was until then, and the leaving", []MembershipAt{m(5, "join"), m(7, "leave")}, nil, []Interval{{1, 7}}},
		{"who was banned too", []MembershipAt{m(5, "join"), m(7, "ban")}, []VisibilityAt{v(1, Joined)}, []Interval{{1, 1}, {5, 7}}},
		{"who came back sees what was between, if it is shared",
			[]MembershipAt{m(2, "join"), m(4, "leave"), m(8, "join")}, nil, []Interval{{1, 10}}},
		{"and does not if it is not",
			[]MembershipAt{m(2, "join"), m(4, "leave"), m(8, "join")}, []VisibilityAt{v(1, Joined)}, []Interval{{1, 4}, {8, 10}}},
		{"an invited user sees from the invite on, where that is so",
			[]MembershipAt{m(4, "invite")}, []VisibilityAt{v(1, Invited)}, []Interval{{4, 10}}},
		{"but of history that is shared with members only the invite", []MembershipAt{m(4, "invite")}, nil, []Interval{{4, 4}}},
		{"and that it is gone", []MembershipAt{m(4, "invite"), m(7, "leave")}, nil, []Interval{{4, 4}, {7, 7}}},
		{"who declines sees the invite and no more",
			[]MembershipAt{m(4, "invite"), m(6, "leave")}, []VisibilityAt{v(1, Invited)}, []Interval{{4, 6}}},
		{"sharing ends where the room stops it",
			[]MembershipAt{m(8, "join")}, []VisibilityAt{v(1, Shared), v(5, Joined)}, []Interval{{1, 5}, {8, 10}}},
		{"and begins where the room begins it",
			[]MembershipAt{m(8, "join")}, []VisibilityAt{v(1, Joined), v(5, Shared)}, []Interval{{1, 1}, {5, 10}}},
		{"knocking shows no more than the knock", []MembershipAt{m(3, "knock")}, []VisibilityAt{v(1, Invited)}, []Interval{{3, 3}}},
		{"a join that comes later shows nothing that is not shared", []MembershipAt{m(12, "join")}, []VisibilityAt{v(1, Joined)}, []Interval{{1, 1}}},
		{"an event with which branches met is no member event",
			[]MembershipAt{m(2, "join"), m(4, "leave"), merged(m(7, "invite"))}, nil, []Interval{{1, 4}}},
		{"and is seen by what came of them",
			[]MembershipAt{m(2, "join"), merged(m(7, "leave"))}, []VisibilityAt{v(1, Joined)}, []Interval{{1, 6}}},
		{"who was a member in a branch that was put into a gap later sees that, and nothing else for it",
			[]MembershipAt{m(2, "join"), m(4, "leave"), merged(m(6, "join")), merged(m(8, "leave"))}, nil, []Interval{{1, 4}, {6, 7}}},
		{"where the leaving ceased to count the user has joined again",
			[]MembershipAt{m(2, "join"), m(4, "leave"), {Place: 6, Pos: 20, Membership: "join", Merged: true}}, nil, []Interval{{1, 10}}},
		{"so it is with the visibility",
			[]MembershipAt{m(8, "join")}, []VisibilityAt{v(1, Shared), {Place: 5, Visibility: Joined, Merged: true}}, []Interval{{1, 4}, {8, 10}}},
		{"a join that comes later shares what is before it", []MembershipAt{m(12, "join")}, nil, []Interval{{1, 10}}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := Visible(r.memberships, r.visibilities, 10); !slices.Equal(got, r.want) {
				t.Errorf("got %v, want %v", got, r.want)
			}
		})
	}
}

// TestVisibleAgreesWithTheRules asks about each place by itself.
func TestVisibleAgreesWithTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const last = 12
		kinds := make([]int, last+4) // of each place: 0 nothing, 1 membership, 2 visibility
		for i := range kinds {
			kinds[i] = rapid.IntRange(0, 2).Draw(t, "kind")
		}
		var memberships []MembershipAt
		var visibilities []VisibilityAt
		for i, kind := range kinds {
			switch place := int64(i + 1); kind {
			case 1:
				memberships = append(memberships, MembershipAt{Place: place, Membership: rapid.SampledFrom([]string{
					"join", "leave", "invite", "ban", "knock"}).Draw(t, "membership")})
			case 2:
				visibilities = append(visibilities, VisibilityAt{Place: place, Visibility: rapid.SampledFrom([]Visibility{
					WorldReadable, Shared, Invited, Joined}).Draw(t, "visibility")})
			}
		}
		got := Visible(memberships, visibilities, last)
		for i, interval := range got {
			if interval.First > interval.Last || i > 0 && interval.First <= got[i-1].Last+1 {
				t.Fatalf("%v are not disjoint intervals in order", got)
			}
		}
		for place := int64(1); place <= last; place++ {
			seen := slices.ContainsFunc(got, func(i Interval) bool { return i.Contains(place) })
			if want := naivelyVisible(memberships, visibilities, place); seen != want {
				t.Fatalf("place %d of %v, %v: %v, want %v", place, memberships, visibilities, seen, want)
			}
		}
	})
}

// naivelyVisible applies the rules to the states just before and just after an
// event, and lets users see their own member events.
func naivelyVisible(memberships []MembershipAt, visibilities []VisibilityAt, place int64) bool {
	at := func(upTo int64) bool {
		membership, visibility, joinsLater := "", Shared, false
		for _, m := range memberships {
			if m.Place <= upTo {
				membership = m.Membership
			}
			joinsLater = joinsLater || m.Place > place && m.Membership == "join"
		}
		for _, v := range visibilities {
			if v.Place <= upTo {
				visibility = v.Visibility
			}
		}
		return visibility == WorldReadable || membership == "join" ||
			visibility == Shared && joinsLater || visibility == Invited && membership == "invite"
	}
	own := slices.ContainsFunc(memberships, func(m MembershipAt) bool { return m.Place == place })
	return own || at(place-1) || at(place)
}

func TestLeftIsWhereTheUserCeasedToBeAMember(t *testing.T) {
	join, leave := MembershipAt{Place: 2, Pos: 12, Membership: "join"}, MembershipAt{Place: 4, Pos: 14, Membership: "leave"}
	aside := func(place int64, membership string) MembershipAt {
		return MembershipAt{Place: place, Membership: membership, Merged: true}
	}
	for _, r := range []struct {
		name        string
		memberships []MembershipAt
		want        int64
	}{
		{"never there", []MembershipAt{{Place: 1, Pos: 11, Membership: "invite"}, leave}, 0},
		{"there", []MembershipAt{join}, 0},
		{"left", []MembershipAt{join, leave}, 4},
		{"left, and invited again", []MembershipAt{join, leave, {Place: 6, Pos: 16, Membership: "invite"}}, 4},
		{"left, and a branch put into a gap", []MembershipAt{join, leave, aside(6, "join"), aside(7, "leave")}, 4},
		{"there in a branch only", []MembershipAt{aside(6, "join"), aside(7, "leave")}, 0},
		{"back, for the leaving ceased to count", []MembershipAt{join, leave, {Place: 8, Pos: 18, Membership: "join", Merged: true}}, 0},
	} {
		if got := (Sight{Memberships: r.memberships}).Left(); got != r.want {
			t.Errorf("%s: got %d, want %d", r.name, got, r.want)
		}
	}
}

func TestVisibilityOf(t *testing.T) {
	key := testKey(t)
	rows := map[string]Visibility{
		`{"history_visibility":"world_readable"}`: WorldReadable, `{"history_visibility":"invited"}`: Invited,
		`{"history_visibility":"joined"}`: Joined, `{"history_visibility":"shared"}`: Shared,
		`{"history_visibility":"other"}`: Shared, `{"history_visibility":7}`: Shared, `{}`: Shared,
	}
	for content, want := range rows {
		empty := ""
		e, err := event.Proto{
			Type: event.TypeHistoryVisibility, StateKey: &empty, Sender: alice, RoomID: "!r:a.test", Content: canonjson.Value(content),
		}.Build(rulesOf(t, "12"), "a.test", key)
		if err != nil {
			t.Fatal(err)
		}
		if got := VisibilityOf(e); got != want {
			t.Errorf("%s is %s", content, got)
		}
	}
	if VisibilityOf(nil) != Shared {
		t.Error("a room that says nothing is not shared")
	}
}

func TestHiddenPlacesAreTakenOutOfIntervals(t *testing.T) {
	rows := []struct {
		name   string
		places []int64
		want   []Interval
	}{
		{"none", nil, []Interval{{1, 3}, {6, 9}}},
		{"the first and the last", []int64{1, 9}, []Interval{{2, 3}, {6, 8}}},
		{"in the middle, side by side", []int64{7, 8}, []Interval{{1, 3}, {6, 6}, {9, 9}}},
		{"a whole interval", []int64{1, 2, 3}, []Interval{{6, 9}}},
		{"what was not seen anyway", []int64{4, 5, 12}, []Interval{{1, 3}, {6, 9}}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := except([]Interval{{1, 3}, {6, 9}}, r.places); !slices.Equal(got, r.want) {
				t.Errorf("got %v, want %v", got, r.want)
			}
		})
	}
}
