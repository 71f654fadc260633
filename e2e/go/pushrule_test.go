package e2e

import (
	"net/http"
	"slices"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/pushrules"
)

func TestPushRulesAreEdited(t *testing.T) {
	t.Parallel()
	alice := newUser(t, "alice")
	phone, laptop := alice.logsIn("phone"), alice.logsIn("laptop")
	put := func(name, before string) {
		phone.did("makes a rule", phone.PutPushRule(background, "global", pushrules.ContentRule, name, &mautrix.ReqPutPushRule{
			Pattern: name, Before: before, Actions: []*pushrules.PushAction{{Action: pushrules.ActionNotify}},
		}))
	}
	put("cheese", "")
	put("bread", "")
	put("butter", "cheese")
	phone.did("switches a rule off", phone.SetPushRuleEnabled(background, "global", pushrules.ContentRule, "bread", false))

	rules, err := laptop.GetPushRules(background)
	laptop.did("gets the rules", err)
	var names []string
	for _, r := range rules.Content {
		if !r.Default {
			names = append(names, r.RuleID)
		}
		if r.RuleID == "bread" && r.Enabled {
			t.Errorf("the rule that is off is on: %+v", r)
		}
	}
	if want := []string{"bread", "butter", "cheese"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	phone.did("removes a rule", phone.DeletePushRule(background, "global", pushrules.ContentRule, "cheese"))
	_, err = laptop.GetPushRule(background, "global", pushrules.ContentRule, "cheese")
	refused(t, "a rule that is gone", err, mautrix.MNotFound)
	refused(t, "a rule of the server is removed", phone.DeletePushRule(background, "global", pushrules.OverrideRule, ".m.rule.master"),
		mautrix.MNotFound, mautrix.RespError{ErrCode: "M_INVALID_PARAM", StatusCode: http.StatusBadRequest})
}
