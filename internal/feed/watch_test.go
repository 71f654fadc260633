package feed

import (
	"slices"
	"testing"

	"parley/internal/room"
)

func TestStaysAreWhatWasNews(t *testing.T) {
	for _, tt := range []struct {
		name        string
		memberships []room.MembershipAt
		want        []span
	}{
		{"never there", []room.MembershipAt{{Pos: 3, Membership: "invite"}}, nil},
		{"there", []room.MembershipAt{{Pos: 3, Membership: "invite"}, {Pos: 5, Membership: "join"}, {Pos: 7, Membership: "join"}}, []span{{5, 0}}},
		{"left", []room.MembershipAt{{Pos: 5, Membership: "join"}, {Pos: 9, Membership: "leave"}}, []span{{5, 9}}},
		{"back", []room.MembershipAt{{Pos: 5, Membership: "join"}, {Pos: 9, Membership: "ban"}, {Pos: 20, Membership: "join"}}, []span{{5, 9}, {20, 0}}},
		{
			"left, and a stay put into a gap behind that",
			[]room.MembershipAt{{Pos: 5, Membership: "join"}, {Pos: 9, Membership: "leave"}, {Membership: "join"}, {Membership: "leave"}},
			[]span{{5, 9}},
		},
		{
			"there, and put into a gap that the user was away",
			[]room.MembershipAt{{Membership: "leave"}, {Pos: 5, Membership: "join"}, {Membership: "leave"}, {Membership: "join"}}, []span{{5, 0}},
		},
	} {
		if got := spansOf(room.Sight{Memberships: tt.memberships}); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
