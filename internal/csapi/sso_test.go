package csapi_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/internal/sso/ssotest"
	"parley/internal/store/storetest"
)

// A browser follows links, with its cookie.
type browser struct {
	*hstest.Server
	*testing.T
	world  *hstest.World
	idp    *ssotest.Provider
	cookie string
}

const idp = "http://idp.test"

// newBrowser is in front of a server with providers, which are one under two names.
func newBrowser(t *testing.T, location, more string, set ...func(*config.Config)) *browser {
	w := hstest.New(t)
	p := ssotest.New(idp)
	w.Near("idp.test:80", p)
	set = append(set, hstest.Database(location), func(c *config.Config) {
		c.SSO.Providers = config.Secret("[" + p.Settings("one", more) + "," + p.Settings("two", "") + "]")
	})
	return &browser{Server: w.Server("a.test", set...), T: t, world: w, idp: p}
}

// visit opens a page of the server.
func (b *browser) visit(path string) hstest.Reply {
	b.Helper()
	return b.send("GET", path, nil)
}

func (b *browser) send(method, path string, form url.Values) hstest.Reply {
	b.Helper()
	r := (&hstest.User{Server: b.Server}).Raw(method, path, []byte(form.Encode()), "Cookie", b.cookie, "Content-Type", "application/x-www-form-urlencoded")
	if set := r.Header.Get("Set-Cookie"); set != "" {
		for _, want := range []string{"HttpOnly", "Secure", "SameSite=Lax", "Path=/_matrix/client/"} {
			if !strings.Contains(set, want) {
				b.Errorf("the cookie is %s", set)
			}
		}
		b.cookie, _, _ = strings.Cut(set, ";")
	}
	return r
}

// through goes to the provider and comes back.
func (b *browser) through(r hstest.Reply) hstest.Reply {
	b.Helper()
	return b.visit(b.back(r))
}

// back returns where the provider leads back to.
func (b *browser) back(r hstest.Reply) string {
	b.Helper()
	to := r.Header.Get("Location")
	if r.Status != 302 || !strings.HasPrefix(to, idp+"/authorize?") {
		b.Fatalf("got %d %v %s", r.Status, r.Header, r.Body)
	}
	back := b.world.Fetch(to)
	return strings.TrimPrefix(back.Header.Get("Location"), "https://a.test")
}

// next is the link on a page.
func (b *browser) next(r hstest.Reply) string {
	b.Helper()
	found := regexp.MustCompile(`<a class="button" href="([^"]*)">Continue`).FindSubmatch(r.Body)
	if r.Status != 200 || found == nil {
		b.Fatalf("there is no link on %d %s", r.Status, r.Body)
	}
	return strings.ReplaceAll(string(found[1]), "&amp;", "&")
}

func (b *browser) shows(r hstest.Reply, status int, texts ...string) {
	b.Helper()
	for _, text := range texts {
		if r.Status != status || !strings.Contains(string(r.Body), text) {
			b.Errorf("got %d %s, want %d with %s", r.Status, r.Body, status, text)
		}
	}
}

// logsIn is where a browser was led to, as a client that logs in with what it got.
func (b *browser) logsIn(r hstest.Reply, prefix string) (user string) {
	b.Helper()
	to := r.Header.Get("Location")
	before, token, ok := strings.Cut(to, "loginToken=")
	if r.Status != 302 || !ok || before != prefix {
		b.Fatalf("led to %d %s %s, want %s", r.Status, to, r.Body, prefix)
	}
	status, v := b.Do("POST", client+"login", fmt.Sprintf(`{"type":"m.login.token","token":%q}`, token))
	if status != 200 {
		b.Fatalf("got %d %s", status, v)
	}
	return v.Get("user_id").String()
}

// TestTheIconOfAProviderIsForEverybody who has not logged in yet, with clients from
// before media needed an access token.
func TestTheIconOfAProviderIsForEverybody(t *testing.T) {
	b := newBrowser(t, "", "")
	alice := b.Register("alice")
	upload := func(content string) string {
		return strings.TrimPrefix(alice.Raw("POST", "/_matrix/media/v3/upload", []byte(content)).Get("content_uri"), "mxc://")
	}
	icon, other := upload("GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02L\x01\x00;"), upload("something")
	b.Config.SSO.Providers = config.Secret("[" + b.idp.Settings("one", `,"icon":"mxc://`+icon+`"`) + "]")
	b.Restart()
	for path, want := range map[string]int{
		"download/" + icon: 200, "thumbnail/" + icon + "?width=1&height=1": 200, "download/" + other: 404,
	} {
		if r := b.visit("/_matrix/media/v3/" + path); r.Status != want {
			t.Errorf("%s: got %d %s, want %d", path, r.Status, r.Body, want)
		}
	}
}

const redirectTo = client + "login/sso/redirect"

func toOne(redirect string) string {
	return redirectTo + "/one?" + url.Values{"redirectUrl": {redirect}}.Encode()
}

func TestPeopleLogInByAnIdentityProvider(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		b := newBrowser(t, location, `,"brand":"x"`, func(c *config.Config) { c.SSO.Clients = "https://app.test" })
		_, flows := b.Do("GET", client+"login", nil)
		want := `{"flows":[{"type":"m.login.password"},{"identity_providers":[{"brand":"x","id":"one","name":"The one"},{"id":"two","name":"The two"}],"type":"m.login.sso"},{"type":"m.login.token"}]}`
		if string(flows) != want {
			t.Errorf("got %s, want %s", flows, want)
		}
		// Without a choice there is one to make.
		b.shows(b.visit(redirectTo+"?redirectUrl=https://evil.test/%3Fa=1%26b=2"), 200, "The two", "/redirect/one?redirectUrl=https%3A%2F%2Fevil.test%2F%3Fa%3D1%26b%3D2")

		// Who comes for the first time gets an account, and a client of which nothing
		// is known is asked about.
		b.idp.Is(map[string]any{"sub": "4711", "preferred_username": "Alice", "name": "Alice A."}, map[string]any{"email": "Alice@Example.org", "email_verified": true})
		page := b.through(b.visit(toOne("https://evil.test/x?loginToken=old&a=%2F#part")))
		b.shows(page, 200, "evil.test wants to use your account @alice:a.test")
		to := b.visit(b.next(page))
		if location := to.Header.Get("Location"); !strings.HasSuffix(location, "#part") {
			t.Errorf("led to %s", location)
		}
		to.Header.Set("Location", strings.TrimSuffix(to.Header.Get("Location"), "#part"))
		if user := b.logsIn(to, "https://evil.test/x?a=%2F&"); user != "@alice:a.test" {
			t.Errorf("got %s", user)
		}
		b.shows(b.visit(b.next(page)), 400, "not begun in this browser")
		if _, p := b.Do("GET", client+"profile/@alice:a.test", nil); string(p) != `{"displayname":"Alice A."}` {
			t.Errorf("the profile is %s", p)
		}
		if _, v := b.Do("POST", client+"login", `{"type":"m.login.password","user":"alice","password":""}`); !v.Get("errcode").Is("M_FORBIDDEN") {
			t.Errorf("got %s", v)
		}

		// Who comes again is the same, whatever they are called now. A client that the
		// operator has named is not asked about.
		b.idp.Is(map[string]any{"sub": "4711", "preferred_username": "bob", "name": "Bob", "email": "x@example.org"}, nil)
		if user := b.logsIn(b.through(b.visit(toOne("https://app.test/"))), "https://app.test/?"); user != "@alice:a.test" {
			t.Errorf("got %s", user)
		}
		b.shows(b.visit("/_matrix/static/client/login/"), 200, `data-provider="one"`, `data-provider="two">The two`)
		b.logsIn(b.through(b.visit(toOne("https://a.test/_matrix/static/client/login/?device_id=x"))), "https://a.test/_matrix/static/client/login/?device_id=x&")
		b.shows(b.through(b.visit(toOne("https://a.test/_matrix/static/client/login/../x"))), 200, "a.test wants to use")
		b.shows(b.through(b.visit(toOne("org.example.app:/login"))), 200, "The program for org.example.app:")

		// By another provider the same number is somebody else, who cannot have the
		// name, and chooses one.
		b.idp.Is(map[string]any{"sub": "4711", "preferred_username": "alice"}, nil)
		page = b.through(b.visit(redirectTo + "/two?redirectUrl=https://app.test/"))
		b.shows(page, 200, `name="username" value="alice"`)
		state := regexp.MustCompile(`name="state" value="([^"]*)"`).FindStringSubmatch(string(page.Body))[1]
		const register = "/_matrix/client/unstable/org.parley/sso/register"
		for name, why := range map[string]string{"alice": "taken", "": "needed", "_x": "underscore", "a b": "consists of"} {
			b.shows(b.send("POST", register, url.Values{"state": {state}, "username": {name}}), 400, why)
		}
		page = b.send("POST", register, url.Values{"state": {state}, "username": {"alice2"}})
		if user := b.logsIn(b.visit(b.next(page)), "https://app.test/?"); user != "@alice2:a.test" {
			t.Errorf("got %s", user)
		}

		// Who is deactivated or locked does not get in.
		if err := b.Accounts().SetLocked(t.Context(), "@alice2:a.test", true); err != nil {
			t.Fatal(err)
		}
		b.shows(b.through(b.visit(redirectTo+"/two?redirectUrl=https://app.test/")), 403, "is locked")
		if err := b.Accounts().Deactivate(t.Context(), "@alice2:a.test", false); err != nil {
			t.Fatal(err)
		}
		b.shows(b.through(b.visit(redirectTo+"/two?redirectUrl=https://app.test/")), 403, "was deactivated")
	})
}

func TestLoginsThatDoNotComeAbout(t *testing.T) {
	b := newBrowser(t, "", `,"closed":true`)
	for path, want := range map[string]int{
		redirectTo: 400, redirectTo + "/one": 400, toOne("javascript:alert(1)"): 400, toOne("JavaScript:alert(1)"): 400, toOne("/x"): 400, toOne("https://"): 400,
		toOne("https://u:p@evil.test/"): 400, toOne("data:text/html,x"): 400, toOne("https://a.test/%zz"): 400,
		redirectTo + "/three?redirectUrl=https://app.test/": 404,
	} {
		if r := b.visit(path); r.Status != want {
			t.Errorf("%s: got %d %s", path, r.Status, r.Body)
		}
	}
	b.idp.Is(map[string]any{"sub": "1", "preferred_username": "alice"}, nil)
	b.shows(b.through(b.visit(toOne("https://app.test/"))), 403, "have no account here")

	const callback = "/_matrix/client/unstable/org.parley/sso/callback"
	b.shows(b.visit(callback+"?error=access_denied&state=x"), 403, "cancelled or refused")
	b.shows(b.visit(callback), 400, "not begun in this browser")
	b.shows(b.visit(callback+"?state=%00%ff&code=x"), 400, "not begun in this browser")

	two := redirectTo + "/two?redirectUrl=https://app.test/"
	// Another browser, and the same once more.
	back := b.back(b.visit(two))
	other := *b
	other.cookie = ""
	b.shows(other.visit(back), 400, "not begun in this browser")
	other.visit(two)
	b.shows(other.visit(back), 400, "not begun in this browser")
	page := b.visit(back)
	b.shows(other.visit(b.next(page)), 400, "not begun in this browser")
	b.shows(b.visit(back), 400, "not begun in this browser")

	for name, lie := range map[string]func(map[string]any){
		"another nonce":    func(c map[string]any) { c["nonce"] = "x" },
		"another audience": func(c map[string]any) { c["aud"] = "x" },
		"another issuer":   func(c map[string]any) { c["iss"] = "http://x.test" },
		"too old":          func(c map[string]any) { c["exp"] = 1 },
		"nobody":           func(c map[string]any) { c["sub"] = "" },
		"a long name":      func(c map[string]any) { c["sub"] = strings.Repeat("x", 300) },
		"two people":       func(c map[string]any) { c["sub"] = "2" },
	} {
		b.idp.Lie(lie)
		if r := b.through(b.visit(two)); r.Status != 400 || !strings.Contains(string(r.Body), "did not work at the other end") {
			t.Errorf("%s: got %d %s", name, r.Status, r.Body)
		}
	}
	b.idp.Lie(nil)
	back = b.back(b.visit(two))
	b.shows(b.visit(strings.Replace(back, "code=", "code=x", 1)), 400, "at the other end")
	back = b.back(b.visit(two))
	b.idp.Break(true)
	b.shows(b.visit(back), 400, "at the other end")
	b.Restart()
	b.shows(b.visit(two), 400, "at the other end")
	b.idp.Break(false)
	b.shows(b.through(b.visit(two)), 200, "@alice:a.test")
}

func TestTermsAreAcceptedByWhoComesFromAnIdentityProvider(t *testing.T) {
	b := newBrowser(t, "", "", func(c *config.Config) {
		c.Registration.Terms = `{"t":{"version":"1","en":{"name":"Our Terms","url":"https://a.test/t"}}}`
	})
	b.idp.Is(map[string]any{"sub": "1", "preferred_username": "alice"}, nil)
	page := b.through(b.visit(toOne("https://app.test/")))
	b.shows(page, 200, "Our Terms", `value="alice"`)
	form := url.Values{"username": {"alice"}}
	for _, name := range []string{"state", "shown"} {
		form.Set(name, regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(string(page.Body))[1])
	}
	b.shows(b.send("POST", "/_matrix/client/unstable/org.parley/sso/register", form), 400, "accept all of them")
	form.Set("accept", "t")
	b.shows(b.send("POST", "/_matrix/client/unstable/org.parley/sso/register", form), 200, "@alice:a.test")
}

func TestAnAccountThatIsThereIsTakenOverOnlyWhereThatIsWanted(t *testing.T) {
	b := newBrowser(t, "", `,"existing":true`)
	b.Register("alice")
	b.idp.Is(map[string]any{"sub": "1", "preferred_username": "alice"}, nil)
	b.shows(b.through(b.visit(redirectTo+"/two?redirectUrl=https://app.test/")), 200, `value="alice"`)
	b.shows(b.through(b.visit(toOne("https://app.test/"))), 200, "app.test wants to use your account @alice:a.test")
}

// TestANewcomerHasANameAndAnAddressWheneverTheServerDies: who comes again has an account
// already, and nobody asks the provider about the rest any more.
func TestANewcomerHasANameAndAnAddressWheneverTheServerDies(t *testing.T) {
	for commits := 1; commits < 6; commits++ {
		synctest.Test(t, func(t *testing.T) {
			b := newBrowser(t, "", "", func(c *config.Config) { c.SSO.Clients = "https://app.test" })
			b.idp.Is(map[string]any{"sub": "1", "preferred_username": "alice", "name": "Alice A."}, map[string]any{"email": "alice@example.org", "email_verified": true})
			back := b.back(b.visit(toOne("https://app.test/")))
			synctest.Wait()
			b.DiesAfter(commits)
			b.visit(back)
			b.Restart()
			_, token, _ := strings.Cut(b.through(b.visit(toOne("https://app.test/"))).Header.Get("Location"), "loginToken=")
			_, v := b.Do("POST", client+"login", fmt.Sprintf(`{"type":"m.login.token","token":%q}`, token))
			alice := &hstest.User{Server: b.Server, Token: v.Get("access_token").String(), ID: "@alice:a.test"}
			if p := alice.Must("GET", client+"profile/@alice:a.test", nil); string(p) != `{"displayname":"Alice A."}` {
				t.Errorf("killed after %d commits: the profile is %s", commits, p)
			}
			if v := alice.Must("GET", client+"account/3pid", nil); !strings.Contains(string(v), `"alice@example.org"`) {
				t.Errorf("killed after %d commits: the addresses are %s", commits, v)
			}
		})
	}
}

func TestWhoHasNoPasswordConfirmsByTheIdentityProvider(t *testing.T) {
	b := newBrowser(t, "", "", func(c *config.Config) { c.SSO.Clients = "https://app.test" })
	b.idp.Is(map[string]any{"sub": "1", "preferred_username": "alice"}, nil)
	_, token, _ := strings.Cut(b.through(b.visit(toOne("https://app.test/"))).Header.Get("Location"), "loginToken=")
	_, v := b.Do("POST", client+"login", fmt.Sprintf(`{"type":"m.login.token","token":%q,"device_id":"PHONE"}`, token))
	alice := &hstest.User{Server: b.Server, Token: v.Get("access_token").String(), ID: "@alice:a.test"}

	status, challenge := alice.Do("POST", client+"account/password", `{"new_password":"correct horse","logout_devices":false}`)
	if status != 401 || string(challenge.Get("flows")) != `[{"stages":["m.login.sso"]}]` {
		t.Fatalf("got %d %s", status, challenge)
	}
	session := challenge.Get("session").String()
	goOn := func(want int) {
		t.Helper()
		if status, v := alice.Do("POST", client+"account/password", fmt.Sprintf(`{"auth":{"session":%q}}`, session)); status != want {
			t.Errorf("got %d %s, want %d", status, v, want)
		}
	}
	if status, v := alice.Do("POST", client+"account/password", fmt.Sprintf(`{"auth":{"session":%q,"type":"m.login.sso"}}`, session)); status != 401 || !v.Get("errcode").Is("M_FORBIDDEN") {
		t.Errorf("got %d %s", status, v)
	}
	fallback := client + "auth/m.login.sso/fallback/web?session=" + session
	confirm := func(b *browser) hstest.Reply {
		t.Helper()
		page := b.through(b.visit(fallback))
		b.shows(page, 200, "set a new password", "@alice:a.test")
		state := regexp.MustCompile(`name="state" value="([^"]*)"`).FindStringSubmatch(string(page.Body))[1]
		goOn(401) // coming back is not to confirm
		return b.send("POST", "/_matrix/client/unstable/org.parley/sso/stage", url.Values{"state": {state}})
	}
	b.shows(b.visit(client+"auth/m.login.sso/fallback/web?session=x"), 404, "no such session")
	eve := *b
	eve.cookie = ""
	b.idp.Is(map[string]any{"sub": "2", "preferred_username": "eve"}, nil)
	eve.through(eve.visit(toOne("https://app.test/")))
	b.shows(confirm(&eve), 403, "not logged in at the identity provider as")
	goOn(401)
	b.idp.Is(map[string]any{"sub": "1"}, nil)
	b.shows(confirm(b), 200, "Thank you", "onAuthDone")
	goOn(200)
	b.Login("alice", "correct horse")
	_, challenge = alice.Do("POST", client+"delete_devices", `{"devices":[]}`)
	if got := string(challenge.Get("flows")); got != `[{"stages":["m.login.password"]},{"stages":["m.login.sso"]}]` {
		t.Errorf("the flows are %s", got)
	}
	b.shows(b.visit(client+"auth/m.login.sso/fallback/web?session="+session), 404, "no such session")
}
