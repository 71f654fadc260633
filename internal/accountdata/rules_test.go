package accountdata

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/pushrule"
)

func (n *node) enable(user id.UserID, ruleID string) {
	n.t.Helper()
	err := n.EditRules(ctx, user, func(s pushrule.Settings) (pushrule.Settings, error) {
		return s.SetEnabled(pushrule.Default(user), pushrule.Override, ruleID, true)
	})
	if err != nil {
		n.t.Error(err)
	}
}

func (n *node) addRule(user id.UserID, ruleID string) {
	n.t.Helper()
	rule, err := pushrule.ParseRule(pushrule.Override, ruleID, []byte(`{"actions":["notify",{"set_tweak":"sound","value":"a"}]}`))
	if err != nil {
		n.t.Fatal(err)
	}
	err = n.EditRules(ctx, user, func(s pushrule.Settings) (pushrule.Settings, error) {
		return s.PutRule(pushrule.Override, rule, pushrule.Position{})
	})
	if err != nil {
		n.t.Error(err)
	}
}

func (n *node) hasRule(user id.UserID, ruleID string) bool {
	n.t.Helper()
	rules, err := n.Rules(ctx, user)
	if err != nil {
		n.t.Fatal(err)
	}
	_, err = rules.Rule(pushrule.Override, ruleID)
	return err == nil
}

func TestRulesAreTheServersUntilTheyAreEdited(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		n.addRule(bob, "mine")
		master := func() bool {
			rules, err := n.Rules(ctx, alice)
			if err != nil {
				t.Fatal(err)
			}
			rule, err := rules.Rule(pushrule.Override, pushrule.Master)
			if err != nil {
				t.Fatal(err)
			}
			content, err := n.Get(ctx, alice, "", PushRules)
			if err != nil {
				t.Fatal(err)
			}
			for first := range content.Get("global").Get("override").Elements() {
				if first.Get("enabled").True() != rule.Enabled || !first.Get("rule_id").Is(pushrule.Master) {
					t.Errorf("account data has %s, the rules %v", first, rule)
				}
				break
			}
			return rule.Enabled
		}
		if master() || n.hasRule(alice, "mine") {
			t.Error("alice has other rules than the server's")
		}
		n.enable(alice, pushrule.Master)
		if !master() || !n.hasRule(bob, "mine") {
			t.Error("an edit is not there")
		}
	})
}

func TestEditsAtTheSameTimeAreAllKept(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { n.addRule(alice, fmt.Sprint("rule", i)) })
			wg.Go(func() {
				if err := n.PutTag(ctx, alice, room, fmt.Sprint("u.", i), []byte(`{}`)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		tags, err := n.Tags(ctx, alice, room)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			if !n.hasRule(alice, fmt.Sprint("rule", i)) || tags.Get(fmt.Sprint("u.", i)) == nil {
				t.Errorf("edit %d is lost", i)
			}
		}
		if head := n.journal.Head(); head != 16 {
			t.Errorf("16 edits made %d entries", head)
		}
	})
}

// TestEditsOfTwoNodes: what one node decided on may be out of date because of the
// other one.
func TestEditsOfTwoNodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		nodes := []*node{start(t, db), start(t, db)}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { nodes[i%2].addRule(alice, fmt.Sprint("rule", i)) })
		}
		wg.Wait()
		for i := range 8 {
			if !nodes[0].hasRule(alice, fmt.Sprint("rule", i)) {
				t.Errorf("edit %d is lost", i)
			}
		}
	})
}

func TestAnEditThatFailsChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		err := n.EditRules(ctx, alice, func(s pushrule.Settings) (pushrule.Settings, error) {
			return s.DeleteRule(pushrule.Default(alice), pushrule.Override, "mine")
		})
		if !errors.Is(err, mxerr.NotFound) || n.journal.Head() != 0 {
			t.Errorf("got %v, the journal has %d entries", err, n.journal.Head())
		}
	})
}

func TestRulesAreNewsWhenTheyChange(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		p1 := n.put(alice, "", "m.one", `{"a":1}`)
		n.addRule(alice, "mine")
		p2 := n.journal.Head()
		list, err := n.Since(ctx, alice, p1, p2)
		n.want("when they changed", show(list, err), " m.push_rules rules\n")
		list, err = n.Since(ctx, alice, p2, p2)
		n.want("afterwards", show(list, err), "")
		list, err = n.Since(ctx, alice, 0, p1)
		n.want("before", show(list, err), " m.one {\"a\":1}\n")
		list, err = n.All(ctx, alice, p1)
		n.want("all before", show(list, err), " m.one {\"a\":1}\n m.push_rules rules\n")
		list, err = n.All(ctx, bob, p2)
		n.want("all of somebody else", show(list, err), " m.push_rules rules\n")
	})
}

func TestRulesAreReadyToBeEvaluated(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		n, other := start(t, db), start(t, db)
		const room = "!r:a.test"
		effect := func(n *node, user id.UserID) pushrule.Effect {
			t.Helper()
			if err := n.journal.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			p, err := n.Personal(ctx, user)
			if err != nil {
				t.Fatal(err)
			}
			if p == nil {
				return pushrule.Same
			}
			return p.In(room)
		}
		for _, enabled := range []bool{false, true, false} {
			err := n.EditRules(ctx, alice, func(s pushrule.Settings) (pushrule.Settings, error) {
				return s.SetEnabled(pushrule.Default(alice), pushrule.Override, pushrule.Master, enabled)
			})
			if err != nil {
				t.Fatal(err)
			}
			want := pushrule.Same
			if enabled {
				want = pushrule.Silence
			}
			for i, n := range []*node{n, other} {
				if got := effect(n, alice); got != want {
					t.Errorf("with all off: %v, node %d has %v, want %v", enabled, i, got, want)
				}
				if p, err := n.Personal(ctx, bob); p != nil || err != nil {
					t.Errorf("bob has rules of his own: %v, %v", p, err)
				}
			}
		}
	})
}
