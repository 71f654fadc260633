package adminapi_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/id"
)

// gets demands that somebody gets a file, or is told that there is none.
func (s *scene) gets(u *hstest.User, uri id.ContentURI, want bool) {
	s.Helper()
	if r := u.Download(uri, ""); (r.Status == 200) != want || !want && r.Get("errcode") != "M_NOT_FOUND" {
		s.Errorf("%s gets %d %s of %s", u.ID, r.Status, r.Body, uri)
	}
}

func (s *scene) show(u *hstest.User, roomID string, uri id.ContentURI) {
	s.Helper()
	s.txns++
	u.Must("PUT", fmt.Sprintf(c+"rooms/%s/send/m.room.message/%d", roomID, s.txns), map[string]any{"msgtype": "m.image", "body": "picture", "url": uri})
}

func TestAQuarantineIsOfAContent(t *testing.T) {
	play(t, func(s *scene) {
		bad, same, good := s.alice.Upload([]byte("bad"), "", ""), s.bob.Upload([]byte("bad"), "", ""), s.bob.Upload([]byte("good"), "", "")
		s.admin.Must("POST", a+"v1/media/quarantine/a.test/"+bad.MediaID(), `{}`)
		again := s.bob.Upload([]byte("bad"), "", "")
		for _, u := range []id.ContentURI{bad, same, again} {
			s.gets(s.alice, u, false)
		}
		s.gets(s.alice, good, true)
		info := s.admin.Must("GET", a+"v1/media/a.test/"+same.MediaID(), nil)
		if text(info, "media_info", "quarantined_by") != string(s.admin.ID) || text(info, "media_info", "user_id") != string(s.bob.ID) || number(info, "media_info", "media_length") != 3 {
			t.Errorf("got %s", info)
		}
		s.admin.Must("POST", a+"v1/media/unquarantine/a.test/"+same.MediaID(), `{}`)
		for _, u := range []id.ContentURI{bad, same, again} {
			s.gets(s.alice, u, true)
		}
		s.refused(s.admin, "POST", a+"v1/media/quarantine/a.test/unknown", `{}`, 404)
		s.refused(s.admin, "POST", a+"v1/media/quarantine/a.test/un.known", `{}`, 400)
		s.refused(s.alice, "POST", a+"v1/media/quarantine/a.test/"+good.MediaID(), `{}`, 403)
	})
}

func TestAQuarantineIsListedAndOutlivesTheFile(t *testing.T) {
	play(t, func(s *scene) {
		const own = "/_parley/admin/v1/media_quarantine"
		bad := s.alice.Upload([]byte("bad"), "", "")
		s.admin.Must("POST", a+"v1/media/quarantine/a.test/"+bad.MediaID(), `{}`)
		s.admin.Must("DELETE", a+"v1/media/a.test/"+bad.MediaID(), nil)
		time.Sleep(time.Second)
		worse := fmt.Sprintf("%x", sha256.Sum256([]byte("worse")))
		for range 2 {
			s.admin.Must("PUT", own+"/"+worse, `{}`)
		}
		again, other := s.bob.Upload([]byte("bad"), "", ""), s.bob.Upload([]byte("worse"), "", "")
		s.gets(s.bob, again, false)
		s.gets(s.bob, other, false)
		var hashes []string
		list := s.admin.Must("GET", own, nil)
		for q := range list.Get("contents").Elements() {
			hashes = append(hashes, text(q, "sha256"))
			if text(q, "quarantined_by") != string(s.admin.ID) || number(q, "media_count") != 1 || number(q, "quarantined_ts") == 0 {
				t.Errorf("got %s", q)
			}
		}
		if number(list, "total") != 2 || len(hashes) != 2 || hashes[0] != worse {
			t.Errorf("got %s", list)
		}
		if v := s.admin.Must("GET", own+"?limit=1&from=1", nil); count(v.Get("contents")) != 1 || string(v.Get("next_token")) != "" {
			t.Errorf("got %s", v)
		}
		s.admin.Must("DELETE", own+"/"+hashes[1], nil)
		s.gets(s.bob, again, true)
		s.gets(s.bob, other, false)
		s.refused(s.admin, "PUT", own+"/abc", `{}`, 400)
		s.refused(s.alice, "PUT", own+"/"+worse, `{}`, 403)
		s.refused(s.alice, "GET", own, nil, 403)
	})
}

func TestWhatARoomSpeaksOfIsPutIntoQuarantine(t *testing.T) {
	play(t, func(s *scene) {
		roomID := s.room("Room", s.bob)
		one, two, safe, other := s.alice.Upload([]byte("1"), "", ""), s.bob.Upload([]byte("2"), "", ""), s.bob.Upload([]byte("3"), "", ""), s.bob.Upload([]byte("4"), "", "")
		for _, u := range []id.ContentURI{one, one, safe, "mxc://b.test/elsewhere"} {
			s.show(s.alice, roomID, u)
		}
		s.txns++
		s.bob.Must("PUT", fmt.Sprintf(c+"rooms/%s/send/m.room.message/%d", roomID, s.txns),
			map[string]any{"msgtype": "m.file", "body": "x", "info": map[string]any{"thumbnail_file": map[string]any{"url": two}}})
		listed := s.admin.Must("GET", a+"v1/room/"+roomID+"/media", nil)
		if count(listed.Get("local")) != 3 || string(listed.Get("remote")) != `["mxc://b.test/elsewhere"]` {
			t.Errorf("got %s", listed)
		}
		s.admin.Must("POST", a+"v1/media/protect/"+safe.MediaID(), `{}`)
		if v := s.admin.Must("POST", a+"v1/room/"+roomID+"/media/quarantine", `{}`); number(v, "num_quarantined") != 2 {
			t.Errorf("got %s", v)
		}
		s.gets(s.bob, one, false)
		s.gets(s.bob, two, false)
		s.gets(s.bob, safe, true)
		s.gets(s.bob, other, true)
		s.admin.Must("POST", a+"v1/media/unprotect/"+safe.MediaID(), `{}`)
		if v := s.admin.Must("POST", a+"v1/user/@bob:a.test/media/quarantine", `{}`); number(v, "num_quarantined") != 2 {
			t.Errorf("got %s", v)
		}
		s.gets(s.bob, other, false)
		if v := s.admin.Must("DELETE", "/_parley/admin/v1/room_media/"+roomID, nil); number(v, "total") != 3 {
			t.Errorf("got %s", v)
		}
		s.refused(s.admin, "GET", a+"v1/media/a.test/"+one.MediaID(), nil, 404)
	})
}

func TestWhatWasUploadedIsListedAndRemoved(t *testing.T) {
	play(t, func(s *scene) {
		for i := range 5 {
			s.alice.Upload([]byte(strings.Repeat("x", i+1)), "text/plain", fmt.Sprintf("%d.txt", 5-i))
			time.Sleep(time.Second)
		}
		s.bob.Upload([]byte("of bob"), "", "")
		names := func(query string) (list []string) {
			v := s.admin.Must("GET", a+"v1/users/@alice:a.test/media"+query, nil)
			if number(v, "total") != 5 {
				t.Errorf("got %s", v)
			}
			for m := range v.Get("media").Elements() {
				list = append(list, text(m, "upload_name"))
			}
			return list
		}
		for query, want := range map[string]string{
			"": "[1.txt 2.txt 3.txt 4.txt 5.txt]", "?order_by=media_length": "[5.txt 4.txt 3.txt 2.txt 1.txt]",
			"?order_by=upload_name&dir=b": "[5.txt 4.txt 3.txt 2.txt 1.txt]", "?limit=2&from=1": "[2.txt 3.txt]",
		} {
			if got := fmt.Sprint(names(query)); got != want {
				t.Errorf("%s: got %s, want %s", query, got, want)
			}
		}
		for _, order := range []string{"media_id", "created_ts", "last_access_ts", "media_type", "quarantined_by", "safe_from_quarantine"} {
			names("?order_by=" + order)
		}
		s.refused(s.admin, "GET", a+"v1/users/@alice:a.test/media?order_by=hash", nil, 400)
		s.refused(s.admin, "GET", a+"v1/users/@nobody:a.test/media", nil, 404)
		v := s.admin.Must("GET", a+"v1/statistics/users/media?order_by=media_length&dir=b&limit=1", nil)
		for u := range v.Get("users").Elements() {
			if text(u, "user_id") != "@alice:a.test" || number(u, "media_count") != 5 || number(u, "media_length") != 15 || text(u, "displayname") != "alice" {
				t.Errorf("got %s", v)
			}
		}
		if number(v, "total") != 2 || number(v, "next_token") != 1 {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", "/_parley/admin/v1/media_usage", nil); string(v) != `{"copies":0,"copy_bytes":0,"upload_bytes":21,"uploads":6}` {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("DELETE", a+"v1/users/@alice:a.test/media?limit=2", nil); number(v, "total") != 2 {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("GET", a+"v1/users/@alice:a.test/media", nil); number(v, "total") != 3 {
			t.Errorf("got %s", v)
		}
	})
}

func TestOldMediaAreRemovedButForAvatars(t *testing.T) {
	play(t, func(s *scene) {
		roomID := s.room("Room")
		face, sign, old, large := s.alice.Upload([]byte("face"), "", ""), s.alice.Upload([]byte("sign"), "", ""), s.alice.Upload([]byte("old"), "", ""), s.alice.Upload(make([]byte, 100), "", "")
		s.alice.Must("PUT", c+"profile/@alice:a.test/avatar_url", map[string]any{"avatar_url": face})
		s.alice.Must("PUT", c+"rooms/"+roomID+"/state/m.room.avatar/", map[string]any{"url": sign})
		time.Sleep(24 * time.Hour)
		used, young := s.alice.Upload([]byte("used"), "", ""), time.Now().UnixMilli()
		s.gets(s.bob, large, true)
		remove := func(query string, want int64) {
			t.Helper()
			if v := s.admin.Must("POST", a+"v1/media/delete?"+query, `{}`); number(v, "total") != want {
				t.Errorf("%s: got %s, want %d", query, v, want)
			}
		}
		remove(fmt.Sprintf("before_ts=%d&size_gt=50", young), 0)
		remove(fmt.Sprintf("before_ts=%d", young-1000), 1)
		s.gets(s.bob, old, false)
		remove(fmt.Sprintf("before_ts=%d&keep_profiles=false", young-1000), 2)
		s.gets(s.bob, face, false)
		s.gets(s.bob, sign, false)
		s.gets(s.bob, used, true)
		s.refused(s.admin, "POST", a+"v1/media/delete?before_ts=1000", `{}`, 400)
		s.refused(s.admin, "POST", a+"v1/media/delete", `{}`, 400)
		if v := s.admin.Must("POST", fmt.Sprintf(a+"v1/purge_media_cache?before_ts=%d", young), `{}`); number(v, "deleted") != 0 {
			t.Errorf("got %s", v)
		}
		if v := s.admin.Must("DELETE", a+"v1/media/a.test/"+used.MediaID(), nil); string(v) != `{"deleted_media":["`+used.MediaID()+`"],"total":1}` {
			t.Errorf("got %s", v)
		}
		s.gets(s.bob, used, false)
	})
}
