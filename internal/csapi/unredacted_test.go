package csapi_test

import (
	"net/url"
	"testing"

	"parley/internal/hstest"
)

func TestModeratorsSeeWhatWasRedacted(t *testing.T) {
	a := hstest.New(t).Server("a.test")
	alice, bob, carol := a.Register("alice"), a.Register("bob"), a.Register("carol")
	r := room(alice, `{"preset":"public_chat"}`)
	bob.Must("POST", r+"/join", `{}`)
	rude := bob.Must("PUT", r+"/send/m.room.message/1", `{"body":"rude","msgtype":"m.text"}`).Get("event_id").String()
	kind := bob.Must("PUT", r+"/send/m.room.message/2", `{"body":"kind","msgtype":"m.text"}`).Get("event_id").String()
	bob.Must("PUT", r+"/redact/"+url.PathEscape(rude)+"/3", `{}`)
	of := func(event string) string {
		return r + "/event/" + url.PathEscape(event) + "?fi.mau.msc2815.include_unredacted_content=true"
	}
	if got := alice.Must("GET", of(rude), nil); !got.Get("content").Get("body").Is("rude") || got.Get("unsigned").Get("redacted_because") == nil {
		t.Errorf("a moderator sees %s", got)
	}
	if got := alice.Must("GET", of(kind), nil); !got.Get("content").Get("body").Is("kind") {
		t.Errorf("what was not redacted is %s", got)
	}
	if got := alice.Must("GET", r+"/event/"+url.PathEscape(rude), nil); string(got.Get("content")) != `{}` {
		t.Errorf("unasked, a moderator sees %s", got)
	}
	if status, got := bob.Do("GET", of(rude), nil); status != 403 || !got.Get("errcode").Is("M_FORBIDDEN") {
		t.Errorf("who may not redact: %d %s", status, got)
	}
	if status, got := carol.Do("GET", of(rude), nil); status != 404 {
		t.Errorf("who is not in the room: %d %s", status, got)
	}
}
