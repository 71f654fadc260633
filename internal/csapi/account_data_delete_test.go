package csapi_test

import (
	"net/url"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/internal/store/storetest"
)

func TestDeletedAccountDataIsGoneForAllClients(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		a := hstest.New(t).Server("a.test", hstest.Database(location))
		alice := a.Register("alice")
		r := room(alice, `{}`)
		user := "user/" + url.PathEscape(string(alice.ID)) + "/"
		inRoom := user + strings.TrimPrefix(r, "/_matrix/client/v3/") + "/"
		const stable, proposed, sync = "/_matrix/client/v3/", "/_matrix/client/unstable/org.matrix.msc3391/", "/_matrix/client/v3/sync"
		for _, at := range []string{user, inRoom} {
			alice.Must("PUT", stable+at+"account_data/org.test", `{"a":1}`)
		}
		since := alice.Must("GET", sync, nil).Get("next_batch").String()
		for _, at := range []string{user, inRoom} {
			alice.Must("DELETE", proposed+at+"account_data/org.test", nil)
			alice.Must("DELETE", proposed+at+"account_data/org.test", nil)
			alice.Must("DELETE", proposed+at+"account_data/org.never", nil)
			if status, got := alice.Do("GET", stable+at+"account_data/org.test", nil); status != 404 {
				t.Errorf("afterwards there is %d %s", status, got)
			}
			if status, got := alice.Do("DELETE", proposed+at+"account_data/m.push_rules", nil); status != 405 {
				t.Errorf("what only the server sets: %d %s", status, got)
			}
		}
		if got := string(alice.Must("GET", sync+"?since="+url.QueryEscape(since), nil)); strings.Count(got, `{"content":{},"type":"org.test"}`) != 2 || strings.Contains(got, "org.never") {
			t.Errorf("who has it is told %s", got)
		}
		if got := string(alice.Must("GET", sync, nil)); strings.Contains(got, "org.test") {
			t.Errorf("who begins anew is told %s", got)
		}
		alice.Must("PUT", stable+user+"account_data/org.test", `{}`)
		if got := alice.Must("GET", stable+user+"account_data/org.test", nil); string(got) != `{}` {
			t.Errorf("what is empty is %s", got)
		}
		mallory := a.Register("mallory")
		if status, got := mallory.Do("DELETE", proposed+user+"account_data/org.test", nil); status != 403 {
			t.Errorf("another user: %d %s", status, got)
		}
	})
}
