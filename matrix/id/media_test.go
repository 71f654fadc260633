package id

import (
	"strings"
	"testing"
)

func TestParseContentURI(t *testing.T) {
	testParse(t, KindContentURI, ParseContentURI, []parseTest{
		{"plain", "mxc://example.org/FHyPlCeYUSFFxlgbQYZmoEoe", ""},
		{"all kinds of characters", "mxc://[::1]:8448/azAZ09_-", ""},
		{"longest parts", "mxc://" + strings.Repeat("a", 255) + "/" + strings.Repeat("b", 255), ""},

		{"empty", "", "does not start with"},
		{"other scheme", "https://example.org/a", "does not start with"},
		{"scheme in upper case", "MXC://example.org/a", "does not start with"},
		{"no media ID", "mxc://example.org", "no '/'"},
		{"empty media ID", "mxc://example.org/", "media ID is empty"},
		{"empty server", "mxc:///a", "no host"},
		{"bad server", "mxc://a_b/c", "character '_' at byte 7 is not allowed in a host name"},
		{"path traversal", "mxc://127.0.0.1/../../etc/passwd", "character '.' at byte 16 is not allowed in a media ID"},
		{"percent-encoding", "mxc://a/%2e", "character '%' at byte 8"},
		{"second segment", "mxc://a/b/c", "character '/' at byte 9"},
		{"query", "mxc://a/b?c", "character '?' at byte 9"},
		{"fragment", "mxc://a/b#c", "character '#' at byte 9"},
		{"server of 256 bytes", "mxc://" + strings.Repeat("a", 256) + "/b", "server name is 256 bytes long"},
		{"media ID of 256 bytes", "mxc://a/" + strings.Repeat("b", 256), "media ID is 256 bytes long"},
	})
}

func TestContentURIParts(t *testing.T) {
	u, err := NewContentURI("example.org:80", "abc")
	if err != nil || u != "mxc://example.org:80/abc" || u.Server() != "example.org:80" || u.MediaID() != "abc" {
		t.Errorf("got %q of %q and %q, %v", u, u.Server(), u.MediaID(), err)
	}
	if u, err := NewContentURI("example.org/a", "b"); err == nil {
		t.Errorf("slash in the server name: got %q, want an error", u)
	}
}
