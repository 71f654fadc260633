package accountdata

import (
	"maps"
	"testing"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

func (n *node) ignores(user id.UserID, want ...id.UserID) {
	n.t.Helper()
	got, err := n.Ignored(ctx, user)
	all := make(map[id.UserID]bool)
	for _, other := range want {
		all[other] = true
	}
	if err != nil || !maps.Equal(got, all) {
		n.t.Errorf("%s ignores %v, want %v (%v)", user, got, want, err)
	}
}

func TestWhomUsersIgnore(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		n.ignores(alice)
		n.put(alice, "", IgnoredUsers, `{"ignored_users":{"@bob:a.test":{},"@alice:a.test":{},"@x:b.test":1}}`)
		n.ignores(alice, bob, "@x:b.test")
		n.ignores(bob)
		n.put(alice, room, IgnoredUsers, `{"ignored_users":{"@y:b.test":{}}}`)
		n.put(alice, "", "m.direct", `{"ignored_users":{"@y:b.test":{}}}`)
		n.ignores(alice, bob, "@x:b.test")
		for _, nonsense := range []string{`{}`, `{"ignored_users":["@bob:a.test"]}`, `{"ignored_users":null}`} {
			n.put(alice, "", IgnoredUsers, nonsense)
			n.ignores(alice)
		}
	})
}

func TestWhoMayInvite(t *testing.T) {
	const filtering, blocking = "org.matrix.msc4155.invite_permission_config", "org.matrix.msc4380.invite_permission_config"
	for _, tt := range []struct {
		name, kind, content string
		want                map[id.UserID]Invite
	}{
		{"everybody", "m.direct", `{}`, map[id.UserID]Invite{bob: InviteShown}},
		{"nobody", InvitePermission, `{"default_action":"block"}`, map[id.UserID]Invite{bob: InviteBlocked}},
		{"nobody, as it was called", blocking, `{"default_action":"block"}`, map[id.UserID]Invite{bob: InviteBlocked}},
		{"an action that there is not", InvitePermission, `{"default_action":"bite"}`, map[id.UserID]Invite{bob: InviteShown}},
		{"whom the user ignores", IgnoredUsers, `{"ignored_users":{"@bob:a.test":{}}}`, map[id.UserID]Invite{bob: InviteHidden, "@x:b.test": InviteShown}},
		{"some", filtering, `{"allowed_servers":["good.*"],"allowed_users":["@bob:*"],"blocked_servers":["*"],"blocked_users":["@x:b.test"],"ignored_servers":["b.????"],"ignored_users":["@b*"]}`,
			map[id.UserID]Invite{bob: InviteShown, "@bad:good.test": InviteHidden, "@x:b.test": InviteBlocked, "@y:good.test": InviteShown, "@y:b.test": InviteHidden, "@y:c.test": InviteBlocked}},
		{"servers by their names without ports", filtering, `{"blocked_servers":["b.test","[::1]"]}`,
			map[id.UserID]Invite{"@x:b.test:8448": InviteBlocked, "@x:[::1]:8448": InviteBlocked, "@x:b.test.c": InviteShown}},
		{"some, but not now", filtering, `{"blocked_servers":["*"],"enabled":false}`, map[id.UserID]Invite{bob: InviteShown}},
		{"one list that is none", filtering, `{"blocked_users":["*"],"ignored_servers":"*"}`, map[id.UserID]Invite{bob: InviteShown}},
		{"null for a list", filtering, `{"allowed_users":null,"blocked_users":["*"]}`, map[id.UserID]Invite{bob: InviteShown}},
		{"one pattern that is none", filtering, `{"blocked_users":["*",7]}`, map[id.UserID]Invite{bob: InviteShown}},
		{"nonsense", filtering, `{"blocked_servers":"*","blocked_users":[1,{}]}`, map[id.UserID]Invite{bob: InviteShown}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, n *node) {
				n.put(alice, "", tt.kind, tt.content)
				for by, want := range tt.want {
					if got, err := n.Invite(ctx, alice, by); got != want || err != nil {
						t.Errorf("an invite by %s: got %d, want %d (%v)", by, got, want, err)
					}
				}
				n.put(alice, "", tt.kind, `{}`)
				if got, err := n.Invite(ctx, alice, bob); got != InviteShown || err != nil {
					t.Errorf("afterwards: got %d, %v", got, err)
				}
			})
		})
	}
}

// TestWishesOfAnotherNode: what another node changes is not known from memory.
func TestWishesOfAnotherNode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n, other := start(t, db), start(t, db)
		n.ignores(alice)
		other.put(alice, "", IgnoredUsers, `{"ignored_users":{"@bob:a.test":{}}}`)
		if err := n.journal.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		n.ignores(alice, bob)
		if w, ok := n.wishes.Get(journal.UserScope(alice)); !ok || w == nil {
			t.Error("it is not kept in memory")
		}
	})
}

// TestWhatWasRemovedIsForgotten: by each node, should the account be opened again.
func TestWhatWasRemovedIsForgotten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n, other := start(t, db), start(t, db)
		refresh := func() {
			t.Helper()
			if err := other.journal.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
		}
		rules := func(user id.UserID, want bool) {
			t.Helper()
			for _, at := range []*node{n, other} {
				if p, err := at.Personal(ctx, user); (p != nil) != want || err != nil {
					t.Errorf("%s has rules: %v, %v, want %t", user, p, err, want)
				}
			}
		}
		for user, ignored := range map[id.UserID]id.UserID{alice: bob, bob: alice} {
			n.put(user, "", IgnoredUsers, `{"ignored_users":{"`+string(ignored)+`":{}}}`)
			n.addRule(user, "mine")
			refresh()
			n.ignores(user, ignored)
			other.ignores(user, ignored)
			rules(user, true)
		}
		if err := n.Remove(ctx, alice); err != nil {
			t.Fatal(err)
		}
		refresh()
		for _, at := range []*node{n, other} {
			at.ignores(alice)
			at.ignores(bob, alice)
		}
		rules(alice, false)
		rules(bob, true)
		if all, err := n.All(ctx, alice, n.journal.Head()); err != nil || len(all) != 1 {
			t.Errorf("what is left is %v, %v", all, err)
		}
	})
}
