package apitest

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"parley/internal/endpoint"
)

// An attack is the requests against one route.
type attack struct {
	*values
	route   endpoint.Route
	fields  []field
	queries []string
	list    []request
}

// attacks returns the requests of an attacker against a route.
func (v *values) attacks(r endpoint.Route) []request {
	a := &attack{values: v, route: r, fields: v.s.fields(r), queries: v.s.queries(r)}
	a.tokensOfAccess()
	a.paths()
	a.parameters()
	a.bodies()
	a.methods()
	a.headers()
	a.belongingsOfOthers()
	a.deep()
	return a.list
}

// hasBody reports whether the route may read a body.
func (a *attack) hasBody() bool { return a.route.Method != "GET" }

// add adds a request with a token, unless change takes it away.
func (a *attack) add(label string, change func(*request)) {
	r := request{
		label: label, method: a.route.Method, target: a.target(a.route, nil, nil, a.query(a.queries, "", "")),
		header: []string{"Authorization: Bearer " + a.a.token},
	}
	if a.hasBody() {
		r.body = a.body(a.fields, nil)
	}
	change(&r)
	a.list = append(a.list, r)
}

func (a *attack) tokensOfAccess() {
	a.add("as it should be", func(*request) {})
	for _, h := range []string{"Bearer", "Bearer ", "Bearer x", "bearer " + a.a.token, "Bearer  " + a.a.token, "Basic eDp5", "Bearer " + a.a.old, a.a.token,
		"Bearer " + a.a.token + "x", "Bearer " + a.a.token[:len(a.a.token)-1], "Bearer syt_YWxpY2U_AAAAAAAAAAAAAAAAAAAA_000000", "Bearer " + strings.Repeat("x", 5000),
		"Bearer \xff\xfe", "Bearer 😀", "Bearer " + a.a.token + " " + a.a.token, "X-Matrix origin=a.test,destination=a.test,key=\"ed25519:1\",sig=\"x\"", "", ","} {
		a.add("the header Authorization: "+h, func(r *request) { r.header = []string{"Authorization: " + h} })
	}
	a.add("no token", func(r *request) { r.header = nil })
	a.add("two tokens", func(r *request) { r.header = append(r.header, "Authorization: Bearer x") })
	for _, token := range []string{a.a.token, "x", a.a.old, "", "\x00", "\xff", strings.Repeat("x", 5000)} {
		a.add("a token in the query", func(r *request) {
			r.header = nil
			r.target = addQuery(r.target, "access_token="+url.QueryEscape(token))
		})
	}
	a.add("a user to act for", func(r *request) { r.target = addQuery(r.target, "user_id=%40alice%3Aa.test&device_id=X") })
}

func addQuery(target, query string) string {
	if strings.Contains(target, "?") {
		return target + "&" + query
	}
	return target + "?" + query
}

func (a *attack) paths() {
	for _, name := range a.route.Wildcards() {
		for _, value := range badTexts() {
			a.add("the path parameter "+name, func(r *request) { r.target = a.target(a.route, map[string]string{name: value}, nil, "") })
		}
		for _, value := range badPaths() {
			a.add("the raw path parameter "+name, func(r *request) {
				r.target = a.target(a.route, nil, map[string]string{name: value}, "")
				r.broken = true
			})
		}
	}
	for _, change := range []func(string) string{
		func(p string) string { return p + "/" },
		func(p string) string { return p + "//" },
		func(p string) string { return "/" + p },
		func(p string) string { return strings.ReplaceAll(p, "/", "//") },
		func(p string) string { return strings.Replace(p, "/_matrix", "/x/../_matrix", 1) },
		func(p string) string { return strings.Replace(p, "/_matrix", "/./_matrix", 1) },
		func(p string) string { return p + "/.." },
		func(p string) string { return p + "/%2E%2E/%2E%2E" },
		func(p string) string { return p + "/x" },
		func(p string) string { return p + "%2Fx" },
		func(p string) string { return "/" + strings.ReplaceAll(p[1:], "/", "%2F") },
		func(p string) string { return strings.ToUpper(p) },
		func(p string) string { return strings.Replace(p, "/v3/", "/r0/", 1) },
		func(p string) string { return strings.Replace(p, "/v3/", "/v99/", 1) },
		func(p string) string { return strings.Replace(p, "/_matrix/client/", "/%5Fmatrix/cl%69ent/", 1) },
		func(p string) string { return p + "%00" },
		func(p string) string { return p + strings.Repeat("/x", 2000) },
		func(p string) string { return p + "#x" },
		func(p string) string { return p + ";x" },
	} {
		a.add("the path", func(r *request) {
			path, query, _ := strings.Cut(r.target, "?")
			r.target = change(path)
			if query != "" {
				r.target += "?" + query
			}
			r.broken = true
		})
	}
	a.add("a path beyond all limits", func(r *request) { r.target += strings.Repeat("x", 100_000); r.broken = true })
	a.add("another host", func(r *request) { r.target = "http://b.test" + r.target; r.broken = true })
	a.add("no path", func(r *request) { r.target = "*"; r.broken = true })
}

func (a *attack) parameters() {
	for _, name := range a.queries {
		for _, value := range slices.Concat(badTexts(), a.others(name), badJSON()[:14]) {
			// Some of them would wait, which is not what this is about; see TestSyncsWaitNoLongerThanTheyMay.
			if value == "" && name == "timeout" {
				continue
			}
			a.add("the query parameter "+name, func(r *request) {
				r.target = a.target(a.route, nil, nil, a.query(a.queries, name, value))
			})
		}
		a.add("twice the query parameter "+name, func(r *request) {
			r.target = addQuery(addQuery(r.target, name+"=0"), name+"=%00")
		})
	}
	for _, query := range []string{"%", "%zz=1", "a=%zz", ";", "a;b=c", "=", "&&&", "a=b=c", "%00=%00", "%FF=%FF", strings.Repeat("a=b&", 5000), "?", "a[]=1&a[x]=2"} {
		a.add("the query", func(r *request) { r.target = addQuery(r.target, query) })
	}
}

func (a *attack) bodies() {
	with := func(label string, body []byte) {
		a.add(label, func(r *request) { r.body = body })
	}
	for _, body := range badBodies() {
		with("the body", []byte(body))
	}
	huge := int(a.route.BodyLimit) + 1
	if !a.hasBody() {
		huge = 1 << 20
	}
	big := []byte(`{"x":"` + strings.Repeat("x", huge) + `"}`)
	with("a huge body", big)
	a.add("a huge body of unknown length", func(r *request) { r.body, r.chunked = big, true })
	a.add("a huge body of spaces", func(r *request) { r.body, r.chunked = bytes.Repeat([]byte(" "), huge), true })
	a.add("a body that ends early", func(r *request) { r.body, r.cut, r.slow = []byte(`{"x":1}`), 2, true })
	a.add("a body of unknown length that ends early", func(r *request) { r.body, r.cut, r.chunked, r.slow = []byte(`{"x":1}`), 2, true, true })
	a.add("a body of another type", func(r *request) { r.header = append(r.header, "Content-Type: text/plain; charset=utf-16") })
	a.add("a compressed body", func(r *request) { r.header = append(r.header, "Content-Encoding: gzip") })
	if !a.hasBody() {
		return
	}
	a.add("no body", func(r *request) { r.body = nil })
	with("an empty object", []byte(`{}`))
	for _, f := range a.fields {
		for _, value := range badJSON() {
			with("the member "+f.name, a.body(a.fields, map[string]string{f.name: value}))
		}
		with("without the member "+f.name, a.body(a.fields, map[string]string{f.name: ""}))
		quoted := func(s string) string { return string(mustJSON(s)) }
		for _, value := range a.others(f.name) {
			with("the member "+f.name, a.body(a.fields, map[string]string{f.name: quoted(value)}))
		}
		if f.kind == "array" {
			for _, name := range []string{"user_id", "device_id", "room_id"} {
				for _, value := range a.others(name) {
					with("the member "+f.name, a.body(a.fields, map[string]string{f.name: "[" + quoted(value) + "]"}))
				}
			}
			many := strings.TrimSuffix(strings.Repeat(`"@x:b.test",`, 1000), ",")
			with("the long member "+f.name, a.body(a.fields, map[string]string{f.name: "[" + many + "]"}))
		}
	}
}

func (a *attack) methods() {
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", "FOO", "get"} {
		if method == a.route.Method {
			continue
		}
		a.add("another method", func(r *request) { r.method, r.broken = method, method == "CONNECT" })
	}
	a.add("a method that is none", func(r *request) { r.method, r.broken = "G(T", true })
	a.add("a long method", func(r *request) { r.method, r.broken = strings.Repeat("A", 10_000), true })
}

func (a *attack) headers() {
	for _, h := range []string{
		"X-Forwarded-For: \xff\xff, ::::, 999.1.1.1", "X-Forwarded-For: " + strings.Repeat("1.1.1.1,", 2000), "Origin: null", "Accept: text/html", "Accept-Encoding: \x80",
		"Range: bytes=0-1", "If-None-Match: *", "Expect: 100-continue", "Connection: Upgrade\r\nUpgrade: websocket", "Cookie: " + strings.Repeat("x", 4000), "User-Agent: \xff😀",
	} {
		a.add("a header", func(r *request) { r.header = append(r.header, h) })
	}
	for _, h := range []string{
		"X: \x00", "X\x00: y", "no colon", ": empty", "X: a\r\n folded", "Content-Length: -1", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 1e3", "Content-Length: 99999999999999999999",
		"Transfer-Encoding: chunked, identity", "Transfer-Encoding: x", "Expect: x", "Host: b.test", "X: " + strings.Repeat("x", 100_000), strings.Repeat("X: y\r\n", 20_000) + "X: y",
	} {
		a.add("a broken header", func(r *request) { r.header, r.body, r.broken = append(r.header, h), nil, true })
	}
}

// belongingsOfOthers asks for what the attacker has no right to, in all
// combinations.
func (a *attack) belongingsOfOthers() {
	combinations := []map[string]string{{}}
	for _, name := range a.route.Wildcards() {
		var next []map[string]string
		for _, c := range combinations {
			for _, value := range append(a.others(name), a.path(name)) {
				if len(next) == 150 {
					break
				}
				with := map[string]string{name: value}
				for k, v := range c {
					with[k] = v
				}
				next = append(next, with)
			}
		}
		combinations = next
	}
	queries := []string{a.query(a.queries, "", "")}
	if slices.Contains(a.queries, "filter") {
		queries = append(queries, a.query(a.queries, "filter", `{"lazy_load_members":true}`))
	}
	if slices.Contains(a.queries, "dir") {
		queries = append(queries, "?dir=f&limit=100", "?dir=b&limit=1000", "?dir=b&from=t1_5", "?dir=f&from=t1_0&limit=1000")
	}
	for _, with := range combinations {
		for i, query := range queries {
			if len(combinations)*i > 100 {
				break
			}
			a.add(fmt.Sprintf("what belongs to others %v", with), func(r *request) { r.target = a.target(a.route, with, nil, query) })
			if i == 0 {
				a.add(fmt.Sprintf("what belongs to others, without a token %v", with), func(r *request) {
					r.target, r.header = a.target(a.route, with, nil, query), nil
				})
			}
		}
	}
}

// deep lets a request succeed that has to be confirmed.
func (a *attack) deep() {
	if !slices.ContainsFunc(a.fields, func(f field) bool { return f.name == "auth" }) {
		return
	}
	password := `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"` + string(a.a.user) + `"},"password":"password of mallory"`
	alice := `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"`
	for _, auth := range []string{
		`{"type":"m.login.dummy"}`, `{"type":"m.login.dummy","session":"unknown"}`, `{"session":"\u0000"}`, `{"session":1}`, `{"type":"m.login.unknown"}`, `{"type":1}`,
		`{"type":"m.login.registration_token","token":"\u0000"}`, `{"type":"m.login.registration_token","token":1}`, password + `,"session":{}}`, alice + `wrong"}`,
		alice + `\u0000"}`, alice + strings.Repeat("x", 2000) + `"}`, password + `}`,
	} {
		a.add("with proof "+auth, func(r *request) { r.body = a.body(a.fields, map[string]string{"auth": auth}) })
	}
}
