package apitest

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/internal/config"
	"parley/internal/endpoint"
	"parley/internal/hstest"
)

// withEverything switches on what has routes only if it is on.
func withEverything(c *config.Config) {
	c.Registration.SharedSecret = "secret"
	c.Registration.Guests = true
	c.Tokens.Login = true
	c.Support.Page = "https://a.test/help"
	c.Notices.Localpart = "notices"
	c.Federation.Delegate = "a.test:8448"
	c.Media.MaxUpload = 64 << 10 // attackers send more than may be
	c.Media.Public = true
	hstest.Mail("smtp.test")(c)
	c.SMS.URL = "http://sms.test/send"
	c.SSO.Providers = `[{"id":"idp","name":"IdP","issuer":"http://idp.test","client_id":"parley"}]`
	c.Federation.PolicyServerKey = "tKMWki9kwaJg5xCjeksdyag1JjYRqFFk/3LaY6BgUEQ"
}

func allRoutes(t testing.TB) []endpoint.Route {
	return slices.Collect(hstest.New(t).Server("a.test", withEverything).Routes())
}

// beyond are the routes that the specification does not have, by keyOf, with the
// reason.
var beyond = map[string]string{
	"GET /health":                                                          "load balancers ask it whether the server answers",
	"GET /_parley/metrics":                                                 "Prometheus reads it, on this machine only",
	"GET /_synapse/admin/v1/register":                                      "scripts that make accounts know this way only",
	"POST /_synapse/admin/v1/register":                                     "as above",
	"GET /_matrix/client/unstable/org.parley/validate/email":               "the link in a mail leads there",
	"POST /_matrix/client/unstable/org.parley/validate/email":              "as above",
	"POST /_matrix/client/unstable/org.parley/validate/msisdn/submitToken": "a client is told to send the code there that came by SMS",
	"GET /_matrix/client/unstable/org.parley/sso/callback":                 "identity providers lead back there",
	"POST /_matrix/client/unstable/org.parley/sso/register":                "people choose a name there who come from an identity provider",
	"GET /_matrix/client/unstable/org.parley/sso/continue":                 "people go there who want a client to use their account",
	"POST /_matrix/client/unstable/org.parley/sso/stage":                   "people confirm there what a client wants",
	"GET /_matrix/client/v3/auth/m.login.sso/fallback/web":                 "as the page of other stages",
	"GET /_matrix/client/unstable/org.parley/unsubscribe":                  "the link in a mail leads there",
	"POST /_matrix/client/unstable/org.parley/unsubscribe":                 "mail programs do so with a button, RFC 8058",
	"POST /_matrix/client/v3/pushers/ack":                                  "a device of Web Push says there that it gets what is sent, MSC4174",
	"GET /_matrix/push/v1/notify":                                          "apps look there for the gateway of UnifiedPush",
	"POST /_matrix/push/v1/notify":                                         "the push gateway API has it",
	"GET /_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms":  "clients know mutual rooms by this name",

	"PUT /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device":            "clients keep a device for the time without any in this way, MSC3814",
	"GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device":            "as above",
	"DELETE /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device":         "as above",
	"POST /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{}/events": "as above",
	"GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{}/events":  "as above",

	"PUT /_matrix/client/v3/rooms/{}/delayed_event/{}/{}":                          "calls have people leave in this way whose client is gone, MSC4140",
	"GET /_matrix/client/v1/delayed_events":                                        "as above",
	"GET /_matrix/client/v1/delayed_events/{}":                                     "as above",
	"POST /_matrix/client/v1/delayed_events/{}/send":                               "as above",
	"POST /_matrix/client/v1/delayed_events/{}/cancel":                             "as above",
	"POST /_matrix/client/v1/delayed_events/{}/restart":                            "as above",
	"PUT /_matrix/client/unstable/org.matrix.msc4140/rooms/{}/delayed_event/{}/{}": "as above, by clients that are older",
	"GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events":               "as above",
	"GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}":            "as above",
	"POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}":           "as above",
	"POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}/send":      "as above",
	"POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}/cancel":    "as above",
	"POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{}/restart":   "as above",

	"GET /_matrix/client/unstable/io.element.msc4306/rooms/{}/thread/{}/subscription":    "clients subscribe to threads in this way, MSC4306",
	"PUT /_matrix/client/unstable/io.element.msc4306/rooms/{}/thread/{}/subscription":    "as above",
	"DELETE /_matrix/client/unstable/io.element.msc4306/rooms/{}/thread/{}/subscription": "as above",
	"GET /_matrix/client/unstable/io.element.msc4308/thread_subscriptions":               "and learn here what has changed, MSC4308",

	"POST /_matrix/client/unstable/org.matrix.msc4108/rendezvous":      "devices are logged in by QR codes in this way, MSC4108 as it was in 2024",
	"GET /_matrix/client/unstable/org.matrix.msc4108/rendezvous/{}":    "as above",
	"PUT /_matrix/client/unstable/org.matrix.msc4108/rendezvous/{}":    "as above",
	"DELETE /_matrix/client/unstable/org.matrix.msc4108/rendezvous/{}": "as above",
	"GET /_matrix/client/v1/rendezvous":                                "and in this, MSC4388",
	"POST /_matrix/client/v1/rendezvous":                               "as above",
	"GET /_matrix/client/v1/rendezvous/{}":                             "as above",
	"PUT /_matrix/client/v1/rendezvous/{}":                             "as above",
	"DELETE /_matrix/client/v1/rendezvous/{}":                          "as above",
	"GET /_matrix/client/unstable/io.element.msc4388/rendezvous":       "as above",
	"POST /_matrix/client/unstable/io.element.msc4388/rendezvous":      "as above",
	"GET /_matrix/client/unstable/io.element.msc4388/rendezvous/{}":    "as above",
	"PUT /_matrix/client/unstable/io.element.msc4388/rendezvous/{}":    "as above",
	"DELETE /_matrix/client/unstable/io.element.msc4388/rendezvous/{}": "as above",

	"DELETE /_matrix/client/unstable/org.matrix.msc3391/user/{}/account_data/{}":          "clients delete account data in this way, MSC3391",
	"DELETE /_matrix/client/unstable/org.matrix.msc3391/user/{}/rooms/{}/account_data/{}": "as above",

	"GET /_matrix/client/unstable/im.nheko.summary/summary/{}":       "clients ask here that are older than what the specification made of it",
	"GET /_matrix/client/unstable/im.nheko.summary/rooms/{}/summary": "as above",

	"POST /_matrix/client/v4/sync":                                     "MSC4186 is merged, and in no release of the specification yet",
	"POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync": "clients sync so until they know the merged form",

	"GET /_matrix/client/v3/pushrules":                                 "clients leave out the slash, which no other path has",
	"GET /_matrix/client/v3/pushrules/global":                          "as above",
	"GET /_matrix/client/v3/auth/{}/fallback/web":                      "the prose has it, as the page on which users do what their client cannot",
	"POST /_matrix/client/v3/auth/{}/fallback/web":                     "that page sends its form there",
	"POST /_matrix/client/v3/auth/m.login.email.identity/fallback/web": "as above, with another limit",
	"POST /_matrix/client/v3/auth/m.login.msisdn/fallback/web":         "as above, with another limit",
	"GET /_matrix/static/client/login/":                                "the prose has it, as the page on which users log in whose client cannot",

	"GET /_matrix/client/v3/rooms/{}/state/{}":  "the state key may be left out if it is empty, the prose says",
	"GET /_matrix/client/v3/rooms/{}/state/{}/": "as above",
	"PUT /_matrix/client/v3/rooms/{}/state/{}":  "as above",
	"PUT /_matrix/client/v3/rooms/{}/state/{}/": "as above",

	"GET /_matrix/key/v2/server/":                 "servers ask here for one key, as in the first versions of the specification, and may leave out which",
	"GET /_matrix/key/v2/server/{}":               "as above",
	"GET /_matrix/key/v2/query/{}/{}":             "as above, of a notary",
	"PUT /_matrix/federation/v1/send_join/{}/{}":  "servers that do not get on with v2 are told to fall back to it",
	"PUT /_matrix/federation/v1/send_leave/{}/{}": "as above",
}

// administers reports whether a route is for administrators, of which the
// specification has none: what moderation tools know is the API of Synapse, and what
// that lacks has paths of its own.
func administers(r endpoint.Route) bool {
	return r.Auth == endpoint.Admin && (strings.HasPrefix(r.Pattern, "/_synapse/admin/") || strings.HasPrefix(r.Pattern, "/_parley/admin/"))
}

// missing reads testdata/missing.txt: a line is METHOD PATH, and empty lines and
// those with # do not count.
func missing(t testing.TB) map[string]bool {
	listed := make(map[string]bool)
	for _, line := range readLines(t, filepath.Join("testdata", "missing.txt")) {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		method, path, _ := strings.Cut(line, " ")
		key := keyOf(method, path)
		if listed[key] {
			t.Errorf("testdata/missing.txt: %s is there twice", key)
		}
		listed[key] = true
	}
	return listed
}

// TestWhatIsMissingIsListed lets testdata/missing.txt only shrink: who serves an
// operation has to take it out, and what was served once cannot go again.
func TestWhatIsMissingIsListed(t *testing.T) {
	served := make(map[string]bool)
	for _, r := range allRoutes(t) {
		served[routeKey(r)] = true
	}
	listed, byModule := missing(t), make(map[string][]string)
	for _, op := range operations(t) {
		switch key := op.key(); {
		case served[key] && listed[key]:
			t.Errorf("%s is served now: take it out of testdata/missing.txt", key)
		case !served[key] && !listed[key]:
			t.Errorf("%s is not served, and not listed in testdata/missing.txt", key)
		}
		if !served[op.key()] {
			byModule[op.module] = append(byModule[op.module], op.method+" "+op.path)
		}
		delete(listed, op.key())
	}
	for key := range listed {
		t.Errorf("testdata/missing.txt has %s, which the specification does not", key)
	}
	for _, module := range slices.Sorted(maps.Keys(byModule)) {
		t.Logf("missing of %s:\n\t%s", module, strings.Join(byModule[module], "\n\t"))
	}
}

func TestRoutesBeyondTheSpecificationHaveAReason(t *testing.T) {
	known := make(map[string]bool)
	for _, op := range operations(t) {
		known[op.key()] = true
	}
	served := make(map[string]bool)
	for _, r := range allRoutes(t) {
		key := routeKey(r)
		if served[key] {
			t.Errorf("%s is there twice", key)
		}
		served[key] = true
		if !known[key] && beyond[key] == "" && !administers(r) {
			t.Errorf("%s is not in the specification: give a reason for it", key)
		}
	}
	for key, reason := range beyond {
		switch {
		case known[key]:
			t.Errorf("%s is in the specification and needs no reason", key)
		case !served[key]:
			t.Errorf("%s has a reason and is not served", key)
		case reason == "":
			t.Errorf("%s: the reason is empty", key)
		}
	}
}

// otherAuth says where somebody else may call than the specification has it, and
// why.
var otherAuth = map[string]struct {
	auth   endpoint.Auth
	reason string
}{
	"GET /_matrix/client/versions": {endpoint.None,
		"nothing in the answer depends on who asks, so a token that is no longer good does not stand in the way"},
	"POST /_matrix/client/v3/join/{}": {endpoint.UserOrGuest,
		"who may join by ID may do so by alias: guests come with a link"},
	"GET /_matrix/client/v3/joined_rooms": {endpoint.UserOrGuest, "/sync tells it to guests, too"},
	"POST /_matrix/client/v3/publicRooms": {endpoint.UserOrGuest, "GET is for anybody"},
	"POST /_matrix/client/v3/logout":      {endpoint.UserOrGuest, "guests have devices"},
	"POST /_matrix/client/v3/logout/all":  {endpoint.UserOrGuest, "as above"},
	"POST /_matrix/client/v3/login":       {endpoint.NoneOrAppService, "an application service logs its users in"},
	"POST /_matrix/client/v3/register":    {endpoint.NoneOrAppService, "an application service makes users"},
}

// unlimited says why operations that the specification limits are not.
var unlimited = map[string]string{}

func TestRoutesAreForThoseWhomTheSpecificationSays(t *testing.T) {
	ops := make(map[string]operation)
	for _, op := range operations(t) {
		ops[op.key()] = op
	}
	seen := make(map[string]bool)
	for _, r := range allRoutes(t) {
		key := routeKey(r)
		op, ok := ops[key]
		if !ok {
			continue
		}
		seen[key] = true
		if got, want := r.Auth, op.wantAuth(); got != want && otherAuth[key].auth != got {
			t.Errorf("%s: is for %v, want %v", key, got, want)
		} else if got == want && otherAuth[key].reason != "" {
			t.Errorf("%s: is as the specification has it, and there is a reason why it is not", key)
		}
		if limited := r.Class != ""; op.limited && !limited && unlimited[key] == "" {
			t.Errorf("%s: is not limited", key)
		} else if limited && unlimited[key] != "" {
			t.Errorf("%s: is limited, and there is a reason why it is not", key)
		}
		if got, want := len(r.Wildcards()), strings.Count(op.path, "{"); got != want {
			t.Errorf("%s: has %d wildcards, want %d", key, got, want)
		}
	}
	for _, key := range slices.Concat(slices.Collect(maps.Keys(otherAuth)), slices.Collect(maps.Keys(unlimited))) {
		if !seen[key] {
			t.Errorf("%s: there is a reason for it, and no route", key)
		}
	}
}

func (o operation) wantAuth() endpoint.Auth {
	switch {
	case o.auth == "none", o.auth == "openid token (query)":
		return endpoint.None
	case o.auth == "server signature":
		return endpoint.Server
	case o.auth == "optional access token":
		return endpoint.Optional
	case o.auth == "as token":
		return endpoint.AppService
	case o.guests:
		return endpoint.UserOrGuest
	}
	return endpoint.User
}
