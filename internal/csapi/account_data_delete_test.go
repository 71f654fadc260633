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
		// To make it empty is to delete it, of whatever was there before.
		since = alice.Must("GET", sync, nil).Get("next_batch").String()
		for _, at := range []string{user, inRoom} {
			alice.Must("PUT", stable+at+"account_data/org.test", `{"a":2}`)
			alice.Must("PUT", stable+at+"account_data/org.test", `{}`)
			alice.Must("PUT", stable+at+"account_data/org.new", `{}`)
			for _, kind := range []string{"org.test", "org.new"} {
				if status, got := alice.Do("GET", stable+at+"account_data/"+kind, nil); status != 404 || !got.Get("errcode").Is("M_NOT_FOUND") {
					t.Errorf("%s, which is empty, is %d %s", kind, status, got)
				}
			}
		}
		got := string(alice.Must("GET", sync+"?since="+url.QueryEscape(since), nil))
		if strings.Count(got, `{"content":{},"type":"org.test"}`) != 2 || strings.Count(got, `{"content":{},"type":"org.new"}`) != 2 {
			t.Errorf("who waits to be told that it is empty is told %s", got)
		}
		if got := string(alice.Must("GET", sync, nil)); strings.Contains(got, "org.test") || strings.Contains(got, "org.new") {
			t.Errorf("who begins anew is told %s", got)
		}
		mallory := a.Register("mallory")
		if status, got := mallory.Do("DELETE", proposed+user+"account_data/org.test", nil); status != 403 {
			t.Errorf("another user: %d %s", status, got)
		}
	})
}

func TestWithADeviceGoesWhetherItIsSilenced(t *testing.T) {
	a := hstest.New(t).Server("a.test")
	alice := a.Register("alice")
	phone := alice.Login()
	user := "/_matrix/client/v3/user/" + url.PathEscape(string(alice.ID)) + "/account_data/"
	for _, kind := range []string{"m.local_notification_settings.", "org.matrix.msc3890.local_notification_settings."} {
		for _, u := range []*hstest.User{alice, phone} {
			alice.Must("PUT", user+kind+string(u.Device), `{"is_silenced":true}`)
		}
	}
	since := alice.Must("GET", "/_matrix/client/v3/sync", nil).Get("next_batch").String()
	phone.Must("POST", "/_matrix/client/v3/logout", nil)
	got := string(alice.Must("GET", "/_matrix/client/v3/sync?since="+url.QueryEscape(since), nil).Get("account_data"))
	for _, kind := range []string{"m.local_notification_settings.", "org.matrix.msc3890.local_notification_settings."} {
		if !strings.Contains(got, `{"content":{},"type":"`+kind+string(phone.Device)+`"}`) || strings.Contains(got, kind+string(alice.Device)) {
			t.Errorf("the other device is told %s", got)
		}
		if status, _ := alice.Do("GET", user+kind+string(phone.Device), nil); status != 404 {
			t.Errorf("%s of the device: %d", kind, status)
		}
		alice.Must("GET", user+kind+string(alice.Device), nil)
	}
}
