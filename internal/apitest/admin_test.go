package apitest

import (
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"parley/internal/endpoint"
	"parley/internal/hstest"
	"parley/matrix/mxerr"
)

// TestOnlyAdministratorsAdminister asks for each route of administrators as
// somebody else, rightly in all other ways.
func TestOnlyAdministratorsAdminister(t *testing.T) {
	s := newScene(t)
	stage := &stage{Server: s.Server, t: t}
	v := &values{s: stage, a: &attacker{own: "!room:a.test", inOwn: "$event", user: s.users["bob"].ID, device: s.users["bob"].Device}}
	count := 0
	for r := range s.Routes() {
		admin := strings.Contains(r.Pattern, "/admin/v") && !strings.HasPrefix(r.Pattern, "/_matrix/") && r.Pattern != "/_synapse/admin/v1/register"
		if admin != (r.Auth == endpoint.Admin) {
			t.Errorf("%s is for %v", routeKey(r), r.Auth)
		}
		if !admin {
			continue
		}
		count++
		target := v.target(r, nil, nil, "")
		var body any
		if r.Method != "GET" {
			body = `{}`
		}
		for name, want := range map[string]mxerr.Code{
			"alice": mxerr.Forbidden, "guest": mxerr.Forbidden, "suspended": mxerr.Forbidden, "locked": mxerr.UserLocked,
		} {
			status, answer := s.users[name].Do(r.Method, target, body)
			if got := mxerr.Code(text(answer, "errcode")); got != want || status != want.Status() {
				t.Errorf("%s as %s: got %d %s, want %s", routeKey(r), name, status, answer, want)
			}
		}
		if status, answer := s.Do(r.Method, target, body); status != 401 || text(answer, "errcode") != string(mxerr.MissingToken) {
			t.Errorf("%s as nobody: got %d %s", routeKey(r), status, answer)
		}
	}
	if count < 40 {
		t.Errorf("there are %d routes for administrators", count)
	}
}

// TestAdministratorsCauseNoFaults sends the routes of administrators what they
// should not be sent, as one of them.
func TestAdministratorsCauseNoFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.secrets, s.names = []string{"not a secret"}, nil // there are none from administrators
		w := &wire{net: s.world.Net}
		defer w.close()
		for _, r := range s.routes {
			if r.Auth == endpoint.Admin {
				s.attackAsAdmin(t, w, r)
			}
		}
	})
}

// admin is an attacker who administers the server.
func (s *stage) admin() *attacker {
	who := s.attacker()
	if err := s.Accounts().SetAdmin(s.t.Context(), who.user, true); err != nil {
		s.t.Fatal(err)
	}
	return who
}

func (s *stage) attackAsAdmin(t *testing.T, w *wire, route endpoint.Route) {
	who := s.admin()
	list := (&values{s: s, a: who}).attacks(route)
	h := fnv.New64a()
	h.Write([]byte(routeKey(route)))
	for _, i := range choose(len(list), *attackMost, rand.New(rand.NewPCG(*attackSeed, h.Sum64()))) {
		r := list[i]
		r.slow = true // what is deleted at once takes a while
		rep, err := w.send(t.Context(), r, patience)
		if err != nil {
			if !r.broken && r.cut == 0 {
				t.Errorf("%v: %v", r, err)
			}
			continue
		}
		for _, wrong := range s.complaints(gate{r, &route, rep}) {
			t.Errorf("%v:\n\tgot %d %.300s\n\t%s", r, rep.status, rep.body, wrong)
		}
		if u := (hstest.User{Server: s.Server, Token: who.token}); route.Method != "GET" {
			if status, _ := u.Do("GET", "/_synapse/admin/v1/server_version", nil); status != 200 {
				who = s.admin()
				list = (&values{s: s, a: who}).attacks(route)
			}
		}
	}
}
