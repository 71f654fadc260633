package csapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"parley/internal/accountdata"
	"parley/internal/endpoint"
	"parley/internal/filter"
	"parley/internal/journal"
	"parley/internal/openapi"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// localparts takes the token for the localpart of the user.
type localparts struct{}

func (localparts) Authenticate(c endpoint.Credentials) (endpoint.Caller, error) {
	return endpoint.Caller{UserID: id.UserID("@" + c.Token + ":a.test"), DeviceID: "PHONE"}, nil
}

// A userDataExchange is a request of alice, and what the answer has to be.
type userDataExchange struct {
	name, method, path, body string
	status                   int
	want                     string // the body, or the code of an error
}

// userDataAPI serves the routes of what is kept for users.
func userDataAPI(t *testing.T, db *store.DB) http.Handler {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { j.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	s := New(Parts{Name: "a.test", Filters: filter.NewStore(db), AccountData: accountdata.New(db, j, accountdata.Options{})})
	var routes []endpoint.Route
	for _, some := range [][]endpoint.Route{s.filterRoutes(), s.accountDataRoutes(), s.tagRoutes(), s.pushRuleRoutes()} {
		routes = append(routes, some...)
	}
	return openapi.Watch(t, endpoint.New(endpoint.Config{Users: localparts{}}, routes))
}

// exchangeUserData sends requests one after the other.
func exchangeUserData(t *testing.T, exchanges []userDataExchange) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		api := userDataAPI(t, db)
		for _, x := range exchanges {
			r := httptest.NewRequest(x.method, "/_matrix/client/v3/"+x.path, strings.NewReader(x.body))
			r.Header.Set("Authorization", "Bearer alice")
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			got, err := canonjson.Canonical(w.Body.Bytes(), canonjson.Lenient)
			if err != nil {
				t.Fatalf("%s: answer %q: %v", x.name, w.Body, err)
			}
			if x.status >= 400 {
				got = canonjson.Value(got.Get("errcode").String())
			}
			if w.Code != x.status || string(got) != x.want {
				t.Errorf("%s: got %d with %s, want %d with %s", x.name, w.Code, w.Body, x.status, x.want)
			}
		}
	})
}

func TestFilterRoutes(t *testing.T) {
	const filters = "user/@alice:a.test/filter"
	exchangeUserData(t, []userDataExchange{
		{"a filter gets an ID", "POST", filters, `{"room": {"timeline": {"limit": 3}}, "x": 0.5}`, 200, `{"filter_id":"1"}`},
		{"another gets another", "POST", filters, `{}`, 200, `{"filter_id":"2"}`},
		{"the same gets the same", "POST", filters, `{"x":0.5,"room":{"timeline":{"limit":3}}}`, 200, `{"filter_id":"1"}`},
		{"a filter is given back", "GET", filters + "/1", ``, 200, `{"room":{"timeline":{"limit":3}},"x":0.5}`},
		{"an escaped user is the same", "GET", "user/%40alice%3Aa.test/filter/2", ``, 200, `{}`},
		{"an unknown one is not found", "GET", filters + "/3", ``, 404, `M_NOT_FOUND`},
		{"nor is what is no ID", "GET", filters + "/x", ``, 404, `M_NOT_FOUND`},
		{"a bad filter", "POST", filters, `{"room":{"timeline":[]}}`, 400, `M_BAD_JSON`},
		{"no filter", "POST", filters, ``, 400, `M_NOT_JSON`},
		{"a large filter", "POST", filters, `{"x":"` + strings.Repeat("x", filter.MaxSize) + `"}`, 413, `M_TOO_LARGE`},
		{"a filter for somebody else", "POST", "user/@bob:a.test/filter", `{}`, 403, `M_FORBIDDEN`},
		{"a filter of somebody else", "GET", "user/@bob:a.test/filter/1", ``, 403, `M_FORBIDDEN`},
	})
}

func TestAccountDataRoutes(t *testing.T) {
	const all, one = "user/@alice:a.test/account_data/", "user/@alice:a.test/rooms/!r:a.test/account_data/"
	exchangeUserData(t, []userDataExchange{
		{"there is none", "GET", all + "m.direct", ``, 404, `M_NOT_FOUND`},
		{"it is put", "PUT", all + "m.direct", `{"b": 0.5, "a": ["!x"]}`, 200, `{}`},
		{"and given back", "GET", all + "m.direct", ``, 200, `{"a":["!x"],"b":0.5}`},
		{"a room has none of it", "GET", one + "m.direct", ``, 404, `M_NOT_FOUND`},
		{"a room has its own", "PUT", one + "m.direct", `{"d":1}`, 200, `{}`},
		{"which is given back", "GET", one + "m.direct", ``, 200, `{"d":1}`},
		{"a type may have slashes", "PUT", all + "a%2Fb", `{"c":1}`, 200, `{}`},
		{"and is found with them", "GET", all + "a%2Fb", ``, 200, `{"c":1}`},
		{"it is an object", "PUT", all + "m.direct", `[]`, 400, `M_BAD_JSON`},
		{"it is JSON", "PUT", one + "m.direct", `{`, 400, `M_NOT_JSON`},
		{"it is there", "PUT", one + "m.direct", ``, 400, `M_NOT_JSON`},
		{"a room is one", "PUT", "user/@alice:a.test/rooms/@r:a.test/account_data/m.direct", `{}`, 400, `M_INVALID_PARAM`},
		{"a room is one to read, too", "GET", "user/@alice:a.test/rooms/r/account_data/m.direct", ``, 400, `M_INVALID_PARAM`},
		{"push rules have an API of their own", "PUT", all + "m.push_rules", `{}`, 405, `M_BAD_JSON`},
		{"read markers, too", "PUT", one + "m.fully_read", `{"event_id":"$x"}`, 405, `M_BAD_JSON`},
		{"read markers of no room, too", "PUT", all + "m.fully_read", `{"event_id":"$x"}`, 405, `M_BAD_JSON`},
		{"push rules of a room, too", "PUT", one + "m.push_rules", `{}`, 405, `M_BAD_JSON`},
		{"there is no reading what the server keeps of a room", "GET", one + "m.push_rules", ``, 404, `M_NOT_FOUND`},
		{"nor of no room", "GET", all + "m.fully_read", ``, 404, `M_NOT_FOUND`},
		{"a room is marked as unread", "PUT", one + "m.marked_unread", `{"unread":true}`, 200, `{}`},
		{"and says so", "GET", one + "m.marked_unread", ``, 200, `{"unread":true}`},
		{"it is not for somebody else to put", "PUT", "user/@bob:a.test/account_data/m.direct", `{}`, 403, `M_FORBIDDEN`},
		{"nor to read", "GET", "user/@bob:a.test/rooms/!r:a.test/account_data/m.direct", ``, 403, `M_FORBIDDEN`},
	})
}

func TestTagRoutes(t *testing.T) {
	const tags = "user/@alice:a.test/rooms/!r:a.test/tags"
	exchangeUserData(t, []userDataExchange{
		{"there are none", "GET", tags, ``, 200, `{"tags":{}}`},
		{"a tag", "PUT", tags + "/u.work", `{"order":0.25}`, 200, `{}`},
		{"a tag without more", "PUT", tags + "/m.favourite", `{}`, 200, `{}`},
		{"a tag without a body", "PUT", tags + "/u.%26", ``, 200, `{}`},
		{"there they are", "GET", tags, ``, 200, `{"tags":{"m.favourite":{},"u.&":{},"u.work":{"order":0.25}}}`},
		{"one goes", "DELETE", tags + "/u.work", ``, 200, `{}`},
		{"it may be gone", "DELETE", tags + "/u.work", ``, 200, `{}`},
		{"the others stay", "GET", "user/@alice:a.test/rooms/!r:a.test/account_data/m.tag", ``, 200, `{"tags":{"m.favourite":{},"u.&":{}}}`},
		{"a tag of 255 bytes", "PUT", tags + "/" + strings.Repeat("t", 255), `{}`, 200, `{}`},
		{"which goes", "DELETE", tags + "/" + strings.Repeat("t", 255), ``, 200, `{}`},
		{"a longer one", "PUT", tags + "/" + strings.Repeat("t", 256), `{}`, 400, `M_INVALID_PARAM`},
		{"an order that old clients give", "PUT", tags + "/u.work", `{"order":"first"}`, 200, `{}`},
		{"is theirs to understand", "GET", tags, ``, 200, `{"tags":{"m.favourite":{},"u.&":{},"u.work":{"order":"first"}}}`},
		{"and to take back", "DELETE", tags + "/u.work", ``, 200, `{}`},
		{"about a tag is an object", "PUT", tags + "/u.work", `1`, 400, `M_BAD_JSON`},
		{"somebody else's", "GET", "user/@bob:a.test/rooms/!r:a.test/tags", ``, 403, `M_FORBIDDEN`},
		{"somebody else's to put", "PUT", "user/@bob:a.test/rooms/!r:a.test/tags/a", `{}`, 403, `M_FORBIDDEN`},
		{"somebody else's to delete", "DELETE", "user/@bob:a.test/rooms/!r:a.test/tags/a", ``, 403, `M_FORBIDDEN`},
	})
}

func TestPushRuleRoutes(t *testing.T) {
	const rules = "pushrules/global/"
	exchangeUserData(t, []userDataExchange{
		{"a rule", "PUT", rules + "content/cake", `{"actions":["notify"],"pattern":"cake"}`, 200, `{}`},
		{"is given back", "GET", rules + "content/cake", ``, 200, `{"actions":["notify"],"default":false,"enabled":true,"pattern":"cake","rule_id":"cake"}`},
		{"before another", "PUT", rules + "content/pie?before=cake", `{"actions":[],"pattern":"pie"}`, 200, `{}`},
		{"after another", "PUT", rules + "content/tea?after=cake", `{"actions":[],"pattern":"tea"}`, 200, `{}`},
		{"before one that is not there", "PUT", rules + "content/x?before=y", `{"actions":[],"pattern":"x"}`, 400, `M_UNKNOWN`},
		{"it is disabled", "PUT", rules + "content/cake/enabled", `{"enabled":false}`, 200, `{}`},
		{"and says so", "GET", rules + "content/cake/enabled", ``, 200, `{"enabled":false}`},
		{"its actions change", "PUT", rules + "content/cake/actions", `{"actions":[{"set_tweak":"highlight"}]}`, 200, `{}`},
		{"and are given back", "GET", rules + "content/cake/actions", ``, 200, `{"actions":[{"set_tweak":"highlight"}]}`},
		{"a rule of the server has actions", "GET", rules + "override/.m.rule.suppress_notices/actions", ``, 200, `{"actions":[]}`},
		{"and can be disabled", "PUT", rules + "override/.m.rule.master/enabled", `{"enabled":true}`, 200, `{}`},
		{"which is there", "GET", rules + "override/.m.rule.master", ``, 200, `{"actions":[],"conditions":[],"default":true,"enabled":true,"rule_id":".m.rule.master"}`},
		{"but not deleted", "DELETE", rules + "override/.m.rule.master", ``, 400, `M_INVALID_PARAM`},
		{"nor made", "PUT", rules + "override/.mine", `{"actions":[]}`, 400, `M_INVALID_PARAM`},
		{"a rule goes", "DELETE", rules + "content/pie", ``, 200, `{}`},
		{"and is gone", "GET", rules + "content/pie", ``, 404, `M_NOT_FOUND`},
		{"once", "DELETE", rules + "content/pie", ``, 404, `M_NOT_FOUND`},
		{"nothing of it is left to read", "GET", rules + "content/pie/enabled", ``, 404, `M_NOT_FOUND`},
		{"nothing of it is left to set", "PUT", rules + "content/pie/enabled", `{"enabled":true}`, 404, `M_NOT_FOUND`},
		{"not its actions", "PUT", rules + "content/pie/actions", `{"actions":[]}`, 404, `M_NOT_FOUND`},
		{"enabled is a boolean", "PUT", rules + "content/tea/enabled", `{"enabled":1}`, 400, `M_INVALID_PARAM`},
		{"actions are there", "PUT", rules + "content/tea/actions", `{}`, 400, `M_MISSING_PARAM`},
		{"a pattern is there", "PUT", rules + "content/tea", `{"actions":[]}`, 400, `M_MISSING_PARAM`},
		{"a body is there", "PUT", rules + "content/tea", ``, 400, `M_NOT_JSON`},
		{"a kind is one of five", "GET", rules + "underground/x", ``, 400, `M_INVALID_PARAM`},
		{"of five to put, too", "PUT", rules + "underground/x", `{"actions":[]}`, 400, `M_INVALID_PARAM`},
		{"of five to delete, too", "DELETE", rules + "underground/x", ``, 400, `M_INVALID_PARAM`},
	})
}

func TestAllPushRules(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		api := userDataAPI(t, db)
		get := func(path string) canonjson.Value {
			r := httptest.NewRequest("GET", "/_matrix/client/v3/"+path, nil)
			r.Header.Set("Authorization", "Bearer alice")
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			v, err := canonjson.Canonical(w.Body.Bytes(), canonjson.Strict)
			if err != nil || w.Code != 200 {
				t.Fatalf("%s: %d with %s", path, w.Code, w.Body)
			}
			return v
		}
		all := get("pushrules/")
		for _, kind := range []string{"override", "content", "room", "sender", "underride"} {
			if all.Get("global").Get(kind).Kind() != canonjson.Array {
				t.Errorf("no rules of kind %s in %s", kind, all)
			}
		}
		if global := get("pushrules/global/"); string(global) != string(all.Get("global")) {
			t.Errorf("got %s, want %s", global, all.Get("global"))
		}
		if bare := get("pushrules"); string(bare) != string(all) || string(get("pushrules/global")) != string(all.Get("global")) {
			t.Errorf("without a slash: got %s, want %s", bare, all)
		}
		if data := get("user/@alice:a.test/account_data/m.push_rules"); string(data) != string(all) {
			t.Errorf("account data: got %s, want %s", data, all)
		}
	})
}
