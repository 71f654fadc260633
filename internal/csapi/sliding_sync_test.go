package csapi_test

import (
	"testing"

	"parley/internal/hstest"
	"parley/internal/store/storetest"
)

// TestConnectionsGoWithTheirDevice: whoever logs in under the same name is another one.
func TestConnectionsGoWithTheirDevice(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		a := hstest.New(t).Server("a.test", hstest.Database(location))
		alice := a.Register("alice")
		room(alice, `{}`)
		const login = `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"password of alice","device_id":"PHONE"}`
		phone := func() *hstest.User {
			u := *alice
			_, answer := a.Do("POST", "/_matrix/client/v3/login", login)
			u.Token = answer.Get("access_token").String()
			return &u
		}
		list := func(pos string) string {
			return `{"lists":{"a":{"range":[0,9],"timeline_limit":1,"required_state":{}}}` + pos + `}`
		}
		before := phone()
		pos := before.Must("POST", "/_matrix/client/v4/sync", list("")).Get("pos").String()
		before.Must("POST", "/_matrix/client/v3/logout", `{}`)
		a.Restart()
		after := phone()
		if status, answer := after.Do("POST", "/_matrix/client/v4/sync", list(`,"pos":"`+pos+`"`)); status != 400 || !answer.Get("errcode").Is("M_UNKNOWN_POS") {
			t.Errorf("the new device goes on where the old one was: %d %s", status, answer)
		}
	})
}
