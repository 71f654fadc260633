package hstest

import (
	"bytes"
	"io"
	"net/http"
	"net/url"

	"parley/internal/openapi"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// A Reply is an answer that need not be JSON.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get is a member of a reply that is JSON, as a text.
func (r Reply) Get(member string) string {
	v, err := canonjson.Canonical(r.Body, canonjson.Lenient)
	if err != nil {
		return ""
	}
	text, _ := v.Get(member).Text()
	return text
}

// Raw sends a request with the user's access token, unless that is empty, whose
// content and answer need not be JSON. Lines of the header are NAME and VALUE in turn.
func (u *User) Raw(method, path string, body []byte, header ...string) Reply {
	t := u.world
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+string(u.Server.Name)+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if u.Token != "" {
		r.Header.Set("Authorization", "Bearer "+u.Token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := t.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if t.spec != nil {
		t.spec().Expect(t, openapi.Response{
			Method: method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Status: resp.StatusCode, Header: resp.Header, Body: content,
		})
	}
	return Reply{resp.StatusCode, resp.Header, content}
}

// Upload uploads a file, which may have no name.
func (u *User) Upload(content []byte, contentType, name string) id.ContentURI {
	u.world.Helper()
	path := "/_matrix/media/v3/upload"
	if name != "" {
		path += "?filename=" + url.QueryEscape(name)
	}
	r := u.Raw("POST", path, content, "Content-Type", contentType)
	if r.Status != http.StatusOK {
		u.world.Fatalf("uploading: got %d %s", r.Status, r.Body)
	}
	return id.ContentURI(r.Get("content_uri"))
}

// Download gets a file, or a picture of it if there is a query for one.
func (u *User) Download(uri id.ContentURI, thumbnail string, header ...string) Reply {
	u.world.Helper()
	path := "/_matrix/client/v1/media/download/"
	if thumbnail != "" {
		path, thumbnail = "/_matrix/client/v1/media/thumbnail/", "?"+thumbnail
	}
	return u.Raw("GET", path+string(uri.Server())+"/"+uri.MediaID()+thumbnail, nil, header...)
}
