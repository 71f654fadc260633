package accountdata

import (
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/pushrule"
)

func TestSucceed(t *testing.T) {
	each(t, func(t *testing.T, n *node) {
		const next id.RoomID = "!next"
		n.put(alice, room, Tag, `{"tags":{"m.favourite":{"order":0.5},"u.work":{}}}`)
		n.put(alice, room, "org.test.other", `{}`)
		n.put(alice, "", Direct, `{"@bob:a.test":["!x:a.test","!room:a.test"],"@carol:a.test":["!x:a.test"],"x":7}`)
		n.put(bob, "", Direct, `{}`)
		err := n.EditRules(ctx, alice, func(s pushrule.Settings) (pushrule.Settings, error) {
			rule, err := pushrule.ParseRule(pushrule.Room, string(room), canonjson.Value(`{"actions":[]}`))
			if err != nil {
				return s, err
			}
			return s.PutRule(pushrule.Room, rule, pushrule.Position{})
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for _, user := range []id.UserID{alice, bob} {
				if err := n.Succeed(ctx, user, room, next); err != nil {
					t.Fatal(err)
				}
			}
		}
		if all, err := n.Since(ctx, bob, 0, n.journal.Head()); err != nil || len(all) != 1 {
			t.Errorf("who had set nothing has %v, %v", all, err)
		}
		before := n.journal.Head()
		if err := n.Succeed(ctx, alice, room, next); err != nil || n.journal.Head() != before {
			t.Errorf("once more: %v, and something changed", err)
		}
		n.want("what is set of rooms", show(n.Since(ctx, alice, 0, before)), `!room:a.test m.tag {"tags":{"m.favourite":{"order":0.5},"u.work":{}}}
!room:a.test org.test.other {}
!next m.tag {"tags":{"m.favourite":{"order":0.5},"u.work":{}}}
 m.direct {"@bob:a.test":["!x:a.test","!room:a.test","!next"],"@carol:a.test":["!x:a.test"],"x":7}
 m.push_rules rules
`)
		rules, err := n.Rules(ctx, alice)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rules.Rule(pushrule.Room, string(next)); err != nil {
			t.Error(err)
		}
		if err := n.DeleteTag(ctx, alice, next, "u.work"); err != nil {
			t.Fatal(err)
		}
		if err := n.Succeed(ctx, alice, room, next); err != nil {
			t.Fatal(err)
		}
		if got, err := n.Tags(ctx, alice, next); err != nil || string(got) != `{"m.favourite":{"order":0.5}}` {
			t.Errorf("a tag that was taken away came back: %s, %v", got, err)
		}
	})
}
