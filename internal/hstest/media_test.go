package hstest

import (
	"testing"
	"testing/synctest"

	"parley/matrix/id"
)

func TestFilesSurviveACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(t).Server("a.test")
		alice := a.Register("alice")
		uri := alice.Upload([]byte("hello"), "text/plain", "hello.txt")
		created := alice.Must("POST", "/_matrix/media/v1/create", nil)
		later, _ := created.Get("content_uri").Text()
		a.Restart()
		if r := alice.Download(uri, ""); r.Status != 200 || string(r.Body) != "hello" || r.Header.Get("Content-Disposition") != "inline; filename=hello.txt" {
			t.Errorf("after a crash: %d %v %s", r.Status, r.Header, r.Body)
		}
		put := "/_matrix/media/v3/upload/a.test/" + id.ContentURI(later).MediaID()
		if r := alice.Raw("PUT", put, []byte("later")); r.Status != 200 {
			t.Errorf("what was announced before: %d %s", r.Status, r.Body)
		}
		if r := alice.Download(id.ContentURI(later), ""); string(r.Body) != "later" {
			t.Errorf("got %d %s", r.Status, r.Body)
		}
	})
}
