package apitest

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serviceSteps are those of an application service, and what it knows.
var serviceSteps = []step{
	{"bridge", "POST register", `{"type":"m.login.application_service","username":"_bridge_x","inhibit_login":true}`, ""},
	{"bridge", "POST login", `{"type":"m.login.application_service","identifier":{"type":"m.id.user","user":"_bridge_x"}}`, ""},
	{"bridge", "POST /_matrix/client/v1/appservice/bridge/ping", `{"transaction_id":"1"}`, ""},
	{"bridge", "PUT directory/list/appservice/net/<room>", `{"visibility":"public"}`, ""},
	{"bob", "POST publicRooms", `{"third_party_instance_id":"bridge|net"}`, ""},
	{"bob", "GET thirdparty/protocols", "", ""},
	{"bob", "GET thirdparty/protocol/irc", "", ""},
	{"bob", "GET thirdparty/location/irc?channel=%23tour", "", ""},
	{"bob", "GET thirdparty/user/irc?nick=tourist", "", ""},
	{"bob", "GET thirdparty/location?alias=%23tour:a.test", "", ""},
	{"bob", "GET thirdparty/user?userid=@_bridge_x:a.test", "", ""},
}

// registerService puts a registration into a new directory.
func registerService(t *testing.T) (dir string) {
	dir = t.TempDir()
	registration := `{id: bridge, url: 'http://bridge.test', as_token: as, hs_token: hs, sender_localpart: _bridge, protocols: [irc],
		namespaces: {users: [{exclusive: true, regex: '@_bridge_.*'}]}}`
	if err := os.WriteFile(filepath.Join(dir, "bridge.yaml"), []byte(registration), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// service is an application service that knows one of each.
func service(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/_matrix/app/v1/thirdparty/")
	switch what, _, _ := strings.Cut(path, "/"); what {
	case "protocol":
		io.WriteString(w, `{"user_fields":["nick"],"location_fields":["channel"],"icon":"mxc://a.test/x",
			"field_types":{"nick":{"regexp":".*","placeholder":"x"},"channel":{"regexp":".*","placeholder":"x"}},
			"instances":[{"desc":"Net","fields":{"network":"net"},"network_id":"net"}]}`)
	case "location":
		io.WriteString(w, `[{"alias":"#tour:a.test","protocol":"irc","fields":{"channel":"#tour"}}]`)
	case "user":
		io.WriteString(w, `[{"userid":"@_bridge_x:a.test","protocol":"irc","fields":{"nick":"tourist"}}]`)
	default:
		io.WriteString(w, `{}`)
	}
}
