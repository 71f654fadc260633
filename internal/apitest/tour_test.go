package apitest

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/internal/mail/mailtest"
	"parley/internal/openapi"
	"parley/internal/sso/ssotest"
	"parley/matrix/canonjson"
)

// A step is a request that has to succeed. What stands in angle brackets is what
// an earlier step kept.
type step struct {
	who, call, body string
	// keep has NAME=MEMBER for what is kept of the answer.
	keep string
}

// A tour goes through the whole client-server API once, in the right way
// everywhere. What servers ask of each other they do in package fedtest.
type tour struct {
	*hstest.Server
	t     *testing.T
	spec  *openapi.Checker
	users map[string]*hstest.User
	kept  map[string]string
	// served are the operations that there are, by key, and answered those that
	// were answered with success.
	served, answered map[string]bool
}

// TestEveryOperationIsAnsweredWell takes the tour, on which hstest compares every
// answer with the specification. What is served and not on the tour stands in
// testdata/unanswered.txt, which only shrinks: who serves an operation adds a step
// for it. Steps for what is not served yet are passed over.
func TestEveryOperationIsAnsweredWell(t *testing.T) {
	v := newTour(t)
	for _, s := range slices.Concat(roomSteps, historySteps, memberSteps, directorySteps, serviceSteps, keySteps(), mediaSteps, userSteps, deviceSteps) {
		v.take(s)
	}
	listed := make(map[string]bool)
	for _, line := range readLines(t, filepath.Join("testdata", "unanswered.txt")) {
		if line != "" && !strings.HasPrefix(line, "#") {
			method, path, _ := strings.Cut(line, " ")
			listed[keyOf(method, path)] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(v.served)) {
		switch {
		case v.answered[key] && listed[key]:
			t.Errorf("%s is answered well now: take it out of testdata/unanswered.txt", key)
		case !v.answered[key] && !listed[key]:
			t.Errorf("%s is not on the tour: add a step for it", key)
		}
		delete(listed, key)
	}
	for _, op := range operations(t) {
		delete(listed, op.key())
	}
	for key := range listed {
		t.Errorf("testdata/unanswered.txt has %s, which does not exist", key)
	}
}

func newTour(t *testing.T) *tour {
	w := hstest.New(t)
	w.Site("site.test", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<title>Site</title><p>Nothing to see.")
	}))
	w.SecureSite("id.test", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"medium":"email","address":"alice@example.org"}`)
	}))
	w.Near("idp.test:80", ssotest.New("http://idp.test"))
	box := w.Postbox("smtp.test")
	w.Site("bridge.test", http.HandlerFunc(service))
	services := registerService(t)
	s := w.Server("a.test", withEverything, func(c *config.Config) { c.AppServices.Dir = services })
	v := &tour{
		Server: s, t: t, spec: openapi.New(), users: make(map[string]*hstest.User),
		kept: map[string]string{"now": fmt.Sprint(time.Now().UnixMilli())}, served: make(map[string]bool), answered: make(map[string]bool),
	}
	known := make(map[string]bool)
	for _, op := range operations(t) {
		known[op.key()] = !op.betweenServers()
	}
	for r := range s.Routes() {
		if key := routeKey(r); known[key] {
			v.served[key] = true
		}
	}
	for _, name := range []string{"alice", "bob", "carol", "dave", "admin"} {
		v.users[name] = s.Register(name)
	}
	v.users["bridge"] = &hstest.User{Server: s, ID: "@_bridge:a.test", Token: "as"}
	if err := s.Accounts().SetAdmin(t.Context(), v.users["admin"].ID, true); err != nil {
		t.Fatal(err)
	}
	v.kept["sid"] = validated(t, s, box)
	return v
}

// validated is the session of a mail address that somebody has shown to be theirs.
func validated(t *testing.T, s *hstest.Server, box *mailtest.Box) (sid string) {
	_, answer := s.Do("POST", "/_matrix/client/v3/account/3pid/email/requestToken", `{"client_secret":"s3cret","email":"alice@example.org","send_attempt":1}`)
	_, path, _ := strings.Cut(box.Next().Text, "https://a.test")
	path, _, _ = strings.Cut(path, "\n")
	if page := (&hstest.User{Server: s}).Raw("POST", path, nil); page.Status != 200 {
		t.Fatalf("validating a mail address: got %d %s", page.Status, page.Body)
	}
	return text(answer, "sid")
}

var kept = regexp.MustCompile(`<[a-z]+>`)

func (v *tour) take(s step) {
	v.t.Helper()
	replace := func(text string, escape func(string) string) string {
		return kept.ReplaceAllStringFunc(text, func(name string) string { return escape(cmp.Or(v.kept[strings.Trim(name, "<>")], name)) })
	}
	method, path, _ := strings.Cut(replace(s.call, url.PathEscape), " ")
	if !strings.HasPrefix(path, "/") {
		path = "/_matrix/client/v3/" + path
	}
	bare, _, _ := strings.Cut(path, "?")
	op := v.spec.Operation(method, bare)
	m, pattern, _ := strings.Cut(op, " ")
	key := keyOf(m, pattern)
	switch {
	case op == "":
		v.t.Errorf("%s %s is no operation", method, path)
		return
	case !v.served[key]:
		return
	}
	status, answer := v.ask(s.who, method, path, replace(s.body, func(s string) string { return s }))
	if status != 200 && status != 302 {
		v.t.Errorf("%s of %s: got %d %s", s.call, s.who, status, answer)
		return
	}
	v.answered[key] = true
	for _, pair := range strings.Fields(s.keep) {
		name, member, _ := strings.Cut(pair, "=")
		v.kept[name] = strings.TrimPrefix(text(answer, member), "mxc://a.test/")
	}
}

// ask makes a request, and confirms it with the password if that is wanted. A user
// whose name was kept is one who has no name but an access token.
func (v *tour) ask(who, method, path, body string) (int, canonjson.Value) {
	u := v.users[who]
	if u == nil {
		u = &hstest.User{Server: v.Server, Token: v.kept[who]}
	}
	var request any
	if body != "" {
		request = body
	}
	status, answer := u.Do(method, path, request)
	if session := text(answer, "session"); status == 401 && session != "" {
		stage := `{"type":"m.login.dummy"`
		if u.Password != "" {
			stage = `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"` + who + `"},"password":"` + u.Password + `"`
		}
		auth := `"auth":` + stage + `,"session":"` + session + `"}`
		confirmed := strings.TrimSuffix(strings.TrimSpace(body), "}")
		if confirmed != "{" && confirmed != "" {
			auth = "," + auth
		}
		status, answer = u.Do(method, path, "{"+strings.TrimPrefix(confirmed, "{")+auth+"}")
	}
	return status, answer
}
