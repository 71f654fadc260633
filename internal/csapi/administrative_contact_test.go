package csapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/internal/mail/mailtest"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
)

// correspondence is a server whose mail comes into a box.
type correspondence struct {
	*hstest.Server
	*testing.T
	world *hstest.World
	box   *mailtest.Box
}

func newCorrespondence(t *testing.T, set ...func(*config.Config)) *correspondence {
	w := hstest.New(t)
	box := w.Postbox("smtp.test")
	return &correspondence{w.Server("a.test", append([]func(*config.Config){hstest.Mail("smtp.test")}, set...)...), t, w, box}
}

const client = "/_matrix/client/v3/"

// want sends a request as somebody, or as nobody, and wants a status, and errcode if
// there is one.
func (c *correspondence) want(u *hstest.User, method, path string, body any, status int, code string) canonjson.Value {
	c.Helper()
	do := c.Do
	if u != nil {
		do = u.Do
	}
	got, v := do(method, client+path, body)
	if errcode, _ := v.Get("errcode").Text(); got != status || errcode != code {
		c.Errorf("%s %s %s: got %d %s, want %d %s", method, path, body, got, v, status, code)
	}
	return v
}

// request asks for a letter to an address, and returns the session.
func (c *correspondence) request(path, email string) (sid string) {
	c.Helper()
	body := fmt.Sprintf(`{"client_secret":"s3cret","email":%q,"send_attempt":1,"next_link":"https://app.test/#/x","id_server":"ignored.test"}`, email)
	sid, _ = c.want(nil, "POST", path+"/email/requestToken", body, 200, "").Get("sid").Text()
	return sid
}

var linkPattern = regexp.MustCompile(`https://a\.test(/\S+)`)

// link is that of a letter, empty if it has none.
func link(l mailtest.Letter) string {
	if found := linkPattern.FindStringSubmatch(l.Text); found != nil {
		return found[1]
	}
	return ""
}

// follow opens the link of the next letter, which is to an address, and presses the
// button.
func (c *correspondence) follow(to string) hstest.Reply {
	c.Helper()
	l := c.box.Next()
	if l.To != to || l.From != "parley@a.test" || link(l) == "" || strings.Contains(l.Raw, "s3cret") {
		c.Fatalf("got a letter to %s: %s", l.To, l.Text)
	}
	return c.press(link(l))
}

// press opens a page, which does nothing by itself, and presses its button.
func (c *correspondence) press(path string) hstest.Reply {
	c.Helper()
	nobody := &hstest.User{Server: c.Server}
	shown := nobody.Raw("GET", path, nil)
	if shown.Status != 200 || !strings.Contains(string(shown.Body), "<button>") {
		c.Fatalf("the page is %d %s", shown.Status, shown.Body)
	}
	return nobody.Raw("POST", path, nil, "Content-Type", "application/x-www-form-urlencoded")
}

func creds(stage, sid string) string {
	return fmt.Sprintf(`{"type":%q,"threepid_creds":{"sid":%q,"client_secret":"s3cret","id_server":"ignored.test","id_access_token":"x"}}`, stage, sid)
}

func eachCorrespondence(t *testing.T, f func(c *correspondence), set ...func(*config.Config)) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		f(newCorrespondence(t, append(set, hstest.Database(location))...))
	})
}

// owns is the addresses of a user.
func (c *correspondence) owns(u *hstest.User) (list string) {
	c.Helper()
	for one := range u.Must("GET", client+"account/3pid", nil).Get("threepids").Elements() {
		list += one.Get("medium").String() + " " + one.Get("address").String() + " "
	}
	return strings.TrimSpace(list)
}

func TestAMailAddressIsAddedByWhoHasIt(t *testing.T) {
	eachCorrespondence(t, func(c *correspondence) {
		alice, bob := c.Register("alice"), c.Register("bob")
		sid := c.request("account/3pid", "Alice@Example.org")
		add := fmt.Sprintf(`{"sid":%q,"client_secret":"s3cret"}`, sid)
		c.want(alice, "POST", "account/3pid/add", add, 400, "M_THREEPID_AUTH_FAILED")
		if done := c.follow("alice@example.org"); done.Status != 200 || !strings.Contains(string(done.Body), "alice@example.org is confirmed") || done.Header.Get("Refresh") != "" {
			t.Errorf("the page is %d %v %s", done.Status, done.Header, done.Body)
		}
		session := c.want(alice, "POST", "account/3pid/add", add, 401, "").Get("session").String()
		byPassword := fmt.Sprintf(`{"type":"m.login.password","session":%q,"password":%q,"identifier":{"type":"m.id.user","user":"alice"}}`, session, alice.Password)
		c.want(alice, "POST", "account/3pid/add", `{"auth":`+byPassword+`}`, 200, "")
		if got := c.owns(alice); got != "email alice@example.org" {
			t.Errorf("got %s", got)
		}
		c.want(alice, "POST", "account/3pid/add", add, 400, "M_THREEPID_AUTH_FAILED")

		// The address is one to log in with now, whoever writes it how.
		login := `{"type":"m.login.password","identifier":{"type":"m.id.thirdparty","medium":"email","address":"ALICE@example.org"},"password":%q}`
		c.want(nil, "POST", "login", fmt.Sprintf(login, alice.Password), 200, "")
		c.want(nil, "POST", "login", fmt.Sprintf(login, "wrong password"), 403, "M_FORBIDDEN")
		c.want(nil, "POST", "login", strings.Replace(fmt.Sprintf(login, alice.Password), "ALICE", "nobody", 1), 403, "M_FORBIDDEN")

		// Nobody else gets it, and who asks is not told whose it is.
		if sid := c.request("account/3pid", "alice@example.org"); sid == "" {
			t.Error("got no session")
		}
		if l := c.box.Next(); l.To != "alice@example.org" || link(l) != "" || !strings.Contains(l.Text, "belongs to the account @alice:a.test already") {
			t.Errorf("got a letter to %s: %s", l.To, l.Text)
		}
		del := `{"medium":"email","address":"alice@EXAMPLE.org"}`
		c.want(bob, "POST", "account/3pid/delete", del, 200, "")
		if got := c.owns(alice); got != "email alice@example.org" {
			t.Errorf("got %s, and Bob cannot remove it", got)
		}
		if r := c.want(alice, "POST", "account/3pid/delete", del, 200, ""); !r.Get("id_server_unbind_result").Is("no-support") {
			t.Errorf("got %s", r)
		}
		if got := c.owns(alice); got != "" {
			t.Errorf("got %s", got)
		}
		c.want(nil, "POST", "login", fmt.Sprintf(login, alice.Password), 403, "M_FORBIDDEN")
	})
}

func TestAForgottenPasswordIsReplacedByMail(t *testing.T) {
	eachCorrespondence(t, func(c *correspondence) {
		alice := c.Register("alice")
		other := alice.Login()
		c.has(alice, "alice@example.org")
		sid := c.request("account/password", "alice@example.org")
		reset := func(password string) string {
			return fmt.Sprintf(`{"new_password":%q,"auth":%s}`, password, creds("m.login.email.identity", sid))
		}
		c.want(nil, "POST", "account/password", reset("another password"), 401, "M_THREEPID_AUTH_FAILED")
		letter := c.box.Next()
		c.want(nil, "POST", "account/password", reset("another password"), 401, "M_THREEPID_AUTH_FAILED")
		c.press(link(letter))
		c.want(nil, "POST", "account/password", reset("short"), 400, "M_WEAK_PASSWORD")
		// It is for this, and nothing else.
		c.want(other, "POST", "account/3pid/add", fmt.Sprintf(`{"sid":%q,"client_secret":"s3cret"}`, sid), 400, "M_THREEPID_AUTH_FAILED")
		c.want(nil, "POST", "account/password", reset("another password"), 200, "")
		for _, u := range []*hstest.User{alice, other} {
			c.want(u, "GET", "account/whoami", nil, 401, "M_UNKNOWN_TOKEN")
		}
		now := c.Login("alice", "another password")
		c.want(nil, "POST", "account/password", reset("a third password"), 401, "M_THREEPID_AUTH_FAILED")

		// Devices stay that are wanted to. There are several ways without a session.
		sid = c.request("account/password", "Alice@example.org")
		c.follow("alice@example.org")
		challenge := c.want(nil, "POST", "account/password", `{"new_password":"a third password","logout_devices":false}`, 401, "")
		if got := string(challenge.Get("flows")); got != `[{"stages":["m.login.password"]},{"stages":["m.login.email.identity"]}]` {
			t.Errorf("the flows are %s", got)
		}
		with := strings.Replace(creds("m.login.email.identity", sid), "{", fmt.Sprintf(`{"session":%q,`, challenge.Get("session").String()), 1)
		c.want(nil, "POST", "account/password", `{"auth":`+with+`}`, 200, "")
		c.want(now, "GET", "account/whoami", nil, 200, "")
		c.Login("alice", "a third password")

		// Who has no account with the address is told so, and nobody else.
		c.request("account/password", "nobody@example.org")
		if l := c.box.Next(); link(l) != "" || !strings.Contains(l.Text, "There is no account with this address") {
			t.Errorf("got %s", l.Text)
		}
		if err := c.Accounts().SetLocked(t.Context(), alice.ID, true); err != nil {
			t.Fatal(err)
		}
		sid = c.request("account/password", "alice@example.org")
		c.press(link(c.box.Next()))
		c.want(nil, "POST", "account/password", reset("a fourth password"), 401, "M_USER_LOCKED")
	})
}

// has gives a user an address.
func (c *correspondence) has(u *hstest.User, email string) {
	c.Helper()
	sid := c.request("account/3pid", email)
	c.follow(email)
	body := fmt.Sprintf(`{"sid":%q,"client_secret":"s3cret","auth":{"type":"m.login.password","user":%q,"password":%q}}`, sid, u.ID, u.Password)
	c.want(u, "POST", "account/3pid/add", body, 200, "")
}

func TestWhoRegistersShowsAMailAddress(t *testing.T) {
	eachCorrespondence(t, func(c *correspondence) {
		// The first account needs none, for who makes it sees to it that mail is sent.
		first := c.want(nil, "POST", "register", `{}`, 401, "")
		if got := string(first.Get("flows")); got != `[{"stages":["m.login.email.identity"]},{"stages":["m.login.registration_token"]}]` {
			t.Errorf("the flows are %s", got)
		}
		register := func(name, sid string) string {
			return fmt.Sprintf(`{"username":%q,"password":"correct horse","auth":%s}`, name, creds("m.login.email.identity", sid))
		}
		sid := c.request("register", "alice@example.org")
		c.want(nil, "POST", "register", register("alice", sid), 401, "M_THREEPID_AUTH_FAILED")
		if done := c.follow("alice@example.org"); done.Header.Get("Refresh") != "0; url=https://app.test/#/x" {
			t.Errorf("led to %s", done.Header.Get("Refresh"))
		}
		c.want(nil, "POST", "register", register("alice", sid), 200, "")
		alice := c.Login("alice", "correct horse")
		if got := c.owns(alice); got != "email alice@example.org" {
			t.Errorf("got %s", got)
		}
		c.want(nil, "POST", "register", register("eve", sid), 401, "M_THREEPID_AUTH_FAILED")
		if got := string(c.want(nil, "POST", "register", `{}`, 401, "").Get("flows")); got != `[{"stages":["m.login.email.identity"]}]` {
			t.Errorf("the flows are %s", got)
		}
		c.want(nil, "POST", "register", `{"username":"eve","auth":{"type":"m.login.dummy"}}`, 401, "M_FORBIDDEN")

		// Whose address it is is not told to who does not have it.
		sid = c.request("register", "alice@example.org")
		if l := c.box.Next(); link(l) != "" || !strings.Contains(l.Text, "@alice:a.test") {
			t.Errorf("got %s", l.Text)
		}
		c.want(nil, "POST", "register", register("eve", sid), 401, "M_THREEPID_AUTH_FAILED")

		// Of two who show the same address at once, one gets it.
		one := c.request("register", "bob@example.org")
		c.follow("bob@example.org")
		c.has(alice, "bob@example.org")
		c.want(nil, "POST", "register", register("bob", one), 400, "M_THREEPID_IN_USE")
		c.want(nil, "POST", "login", `{"type":"m.login.password","user":"bob","password":"correct horse"}`, 403, "M_FORBIDDEN")
	}, func(c *config.Config) {
		c.Registration.RequireEmail, c.Addresses.NextLinks = true, "https://app.test"
	})
}

func TestAMailAddressMayBeShownWhereItNeedNot(t *testing.T) {
	c := newCorrespondence(t, func(c *config.Config) {
		c.Registration.Terms = `{"t":{"version":"1","en":{"name":"T","url":"https://a.test/t"}}}`
		c.SMS.URL = "http://sms.test/"
	})
	_, terms := c.Do("POST", client+"register", `{}`)
	want := `[{"stages":["m.login.terms","m.login.dummy"]},{"stages":["m.login.terms","m.login.email.identity"]},` +
		`{"stages":["m.login.terms","m.login.msisdn"]},{"stages":["m.login.registration_token","m.login.terms"]}]`
	if got := string(terms.Get("flows")); got != want {
		t.Errorf("the flows are %s, want %s", got, want)
	}
	step := c.want(nil, "POST", "register", fmt.Sprintf(`{"username":"alice","auth":{"type":"m.login.terms","session":%q}}`, terms.Get("session").String()), 401, "")
	if got := string(step.Get("completed")); got != `["m.login.terms"]` {
		t.Errorf("completed are %s", got)
	}
	c.want(nil, "POST", "register", fmt.Sprintf(`{"auth":{"type":"m.login.dummy","session":%q}}`, terms.Get("session").String()), 200, "")
}

func TestWhatIsRefusedOfWhoAsksForALetter(t *testing.T) {
	c := newCorrespondence(t, func(c *config.Config) {
		c.Addresses.Emails = "*@example.org"
		c.Registration.Mode = config.RegistrationClosed
	})
	const good = `"client_secret":"s","send_attempt":1`
	for _, row := range []struct {
		path, body string
		status     int
		code       string
	}{
		{"account/3pid/email/requestToken", `{` + good + `,"email":"a@example.com"}`, 403, "M_THREEPID_DENIED"},
		{"account/3pid/email/requestToken", `{` + good + `,"email":"a"}`, 400, "M_INVALID_PARAM"},
		{"account/3pid/email/requestToken", `{` + good + `,"email":"a@example.org\u0000"}`, 400, "M_INVALID_PARAM"},
		{"account/3pid/email/requestToken", `{"client_secret":"\u0000","send_attempt":1,"email":"a@example.org"}`, 400, "M_INVALID_PARAM"},
		{"account/3pid/email/requestToken", `{"client_secret":"s","send_attempt":"1","email":"a@example.org"}`, 400, "M_BAD_JSON"},
		{"account/3pid/email/requestToken", `{` + good + `}`, 400, "M_MISSING_PARAM"},
		{"account/3pid/email/requestToken", `{"send_attempt":1,"email":"a@example.org"}`, 400, "M_MISSING_PARAM"},
		{"account/3pid/email/requestToken", `{"client_secret":"s","email":"a@example.org"}`, 400, "M_MISSING_PARAM"},
		{"account/3pid/msisdn/requestToken", `{` + good + `,"country":"GB","phone_number":"07700900001"}`, 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"},
		{"account/password/msisdn/requestToken", `{` + good + `,"country":"GB","phone_number":"07700900001"}`, 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"},
		{"register/email/requestToken", `{` + good + `,"email":"a@example.org"}`, 403, "M_FORBIDDEN"},
		{"account/3pid/email/requestToken", `{` + good + `,"email":"a@example.org","next_link":"javascript:alert(1)"}`, 200, ""},
	} {
		c.want(nil, "POST", row.path, row.body, row.status, row.code)
	}
	letter := c.box.Next()
	if done := c.press(link(letter)); done.Header.Get("Refresh") != "" || strings.Contains(string(done.Body), "javascript") {
		t.Errorf("led to %v %s", done.Header, done.Body)
	}
	nobody := &hstest.User{Server: c.Server}
	for _, path := range []string{link(letter)[:len(link(letter))-1], "/_matrix/client/unstable/org.parley/validate/email"} {
		for _, method := range []string{"GET", "POST"} {
			if r := nobody.Raw(method, path, nil); r.Status != 400 || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%s %s: got %d %s", method, path, r.Status, r.Body)
			}
		}
	}
	none := hstest.New(t).Server("b.test")
	if status, v := none.Do("POST", client+"register/email/requestToken", `{`+good+`,"email":"a@example.org"}`); status != 400 || !v.Get("errcode").Is("M_THREEPID_MEDIUM_NOT_SUPPORTED") {
		t.Errorf("got %d %s", status, v)
	}
	alice := none.Register("alice")
	if got := alice.Must("GET", client+"capabilities", nil).Get("capabilities").Get("m.3pid_changes"); string(got) != `{"enabled":false}` {
		t.Errorf("got %s", got)
	}
}

// gateway takes text messages, and says which one came last.
type gateway chan string

func (g gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content := make([]byte, 1<<10)
	n, _ := r.Body.Read(content)
	v, _ := canonjson.Canonical(content[:n], canonjson.Lenient)
	g <- v.Get("to").String() + " " + v.Get("text").String()
}

func TestATelephoneNumberIsShownByACode(t *testing.T) {
	w := hstest.New(t)
	sent := make(gateway, 10)
	w.Near("sms.test:80", sent)
	c := &correspondence{w.Server("a.test", func(c *config.Config) { c.SMS.URL = "http://sms.test/send" }), t, w, nil}
	alice := c.Register("alice")
	if got := alice.Must("GET", client+"capabilities", nil).Get("capabilities").Get("m.3pid_changes"); string(got) != `{"enabled":true}` {
		t.Errorf("got %s", got)
	}
	ask := func(path string) (sid, submit, code string) {
		r := c.want(nil, "POST", path+"/msisdn/requestToken", `{"client_secret":"s3cret","country":"GB","phone_number":"07700 900001","send_attempt":1}`, 200, "")
		sid, _ = r.Get("sid").Text()
		submit, _ = r.Get("submit_url").Text()
		text := <-sent
		found := regexp.MustCompile(`^\+447700900001 ([0-9]{6}) is your code for a\.test`).FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("sent %s", text)
		}
		return sid, strings.TrimPrefix(submit, "https://a.test"), found[1]
	}
	submit := func(path, sid, code string) (int, canonjson.Value) {
		return c.Do("POST", path, fmt.Sprintf(`{"sid":%q,"client_secret":"s3cret","token":%q}`, sid, code))
	}
	sid, path, code := ask("account/3pid")
	if status, v := submit(path, sid, "x"); status != 400 || !v.Get("errcode").Is("M_TOKEN_INCORRECT") {
		t.Errorf("got %d %s", status, v)
	}
	if status, v := submit(path, "x", code); status != 400 || !v.Get("errcode").Is("M_SESSION_EXPIRED") {
		t.Errorf("got %d %s", status, v)
	}
	if status, v := submit(path, sid, code); status != 200 || string(v) != `{"success":true}` {
		t.Errorf("got %d %s", status, v)
	}
	body := fmt.Sprintf(`{"sid":%q,"client_secret":"s3cret","auth":{"type":"m.login.password","user":"alice","password":%q}}`, sid, alice.Password)
	c.want(alice, "POST", "account/3pid/add", body, 200, "")
	if got := c.owns(alice); got != "msisdn 447700900001" {
		t.Errorf("got %s", got)
	}
	c.want(nil, "POST", "login", fmt.Sprintf(`{"type":"m.login.password","identifier":{"type":"m.id.phone","country":"GB","phone":"(07700) 900001"},"password":%q}`, alice.Password), 200, "")
	sid, path, code = ask("account/password")
	submit(path, sid, code)
	c.want(nil, "POST", "account/password", fmt.Sprintf(`{"new_password":"another password","auth":%s}`, creds("m.login.email.identity", sid)), 401, "M_FORBIDDEN")
	c.want(nil, "POST", "account/password", fmt.Sprintf(`{"new_password":"another password","auth":%s}`, creds("m.login.msisdn", sid)), 200, "")
	c.Login("alice", "another password")
}

func TestAnAddressIsShownOnAPageByWhoseClientDoesNotKnowHow(t *testing.T) {
	w := hstest.New(t)
	box, sent := w.Postbox("smtp.test"), make(gateway, 10)
	w.Near("sms.test:80", sent)
	c := &correspondence{w.Server("a.test", hstest.Mail("smtp.test"), func(c *config.Config) { c.SMS.URL = "http://sms.test/" }), t, w, box}
	fill := func(stage, session string, fields url.Values) string {
		path := client + "auth/" + stage + "/fallback/web?session=" + session
		r := (&hstest.User{Server: c.Server}).Raw("POST", path, []byte(fields.Encode()), "Content-Type", "application/x-www-form-urlencoded")
		return string(r.Body)
	}
	hidden := func(page, name string) string {
		found := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("there is no %s in %s", name, page)
		}
		return found[1]
	}
	session := func(name string) string {
		return c.want(nil, "POST", "register", fmt.Sprintf(`{"username":%q,"password":"correct horse"}`, name), 401, "").Get("session").String()
	}

	alice := session("alice")
	if page := fill("m.login.email.identity", alice, url.Values{"address": {"alice"}}); !strings.Contains(page, "This is not a mail address") {
		t.Errorf("got %s", page)
	}
	page := fill("m.login.email.identity", alice, url.Values{"address": {"alice@example.org"}})
	proof := url.Values{"address": {"alice@example.org"}, "sid": {hidden(page, "sid")}, "secret": {hidden(page, "secret")}}
	if page := fill("m.login.email.identity", alice, proof); !strings.Contains(page, "was not validated") || hidden(page, "sid") != proof.Get("sid") {
		t.Errorf("got %s", page)
	}
	c.follow("alice@example.org")
	if page := fill("m.login.email.identity", alice, proof); !strings.Contains(page, "Thank you") {
		t.Errorf("got %s", page)
	}
	c.want(nil, "POST", "register", fmt.Sprintf(`{"auth":{"session":%q}}`, alice), 200, "")
	if got := c.owns(c.Login("alice", "correct horse")); got != "email alice@example.org" {
		t.Errorf("got %s", got)
	}

	bob := session("bob")
	page = fill("m.login.msisdn", bob, url.Values{"address": {"+44 7700 900001"}})
	proof = url.Values{"address": {"+44 7700 900001"}, "sid": {hidden(page, "sid")}, "secret": {hidden(page, "secret")}, "code": {"x"}}
	if page := fill("m.login.msisdn", bob, proof); !strings.Contains(page, "not what was sent") {
		t.Errorf("got %s", page)
	}
	proof.Set("code", strings.Fields(<-sent)[1])
	if page := fill("m.login.msisdn", bob, proof); !strings.Contains(page, "Thank you") {
		t.Errorf("got %s", page)
	}
	c.want(nil, "POST", "register", fmt.Sprintf(`{"auth":{"session":%q}}`, bob), 200, "")
}

// TestAMailServerThatIsDown: what could not be sent is sent when it is back, through
// a crash of the server, too.
func TestAMailServerThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCorrespondence(t)
		c.world.Net.Cut("smtp.test:25")
		c.request("register", "alice@example.org")
		synctest.Wait()
		c.Restart()
		c.world.Net.Mend("smtp.test:25")
		if l := c.box.Next(); l.To != "alice@example.org" || link(l) == "" {
			t.Errorf("got %s", l.Text)
		}
	})
}

func TestIdentityServersAreToldOfUsers(t *testing.T) {
	eachCorrespondence(t, func(c *correspondence) {
		var asked []string
		answers := map[string]string{"bind": `{"medium":"email","address":"alice@example.org"}`, "unbind": `{}`}
		c.world.SecureSite("id.test", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			what := strings.TrimPrefix(r.URL.Path, "/_matrix/identity/v2/3pid/")
			scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			asked = append(asked, what+" "+scheme)
			if answers[what] == "" {
				w.WriteHeader(404)
			}
			fmt.Fprint(w, answers[what])
		}))
		alice := c.Register("alice")
		const creds = `"client_secret":"s","id_server":"id.test","id_access_token":"x","sid":"1"`
		const address = `"medium":"email","address":"alice@example.org"`
		result := func(v canonjson.Value) string { return v.Get("id_server_unbind_result").String() }
		if r := c.want(alice, "POST", "account/3pid/unbind", `{`+address+`}`, 200, ""); result(r) != "no-support" {
			t.Errorf("nowhere: got %s", r)
		}
		c.want(alice, "POST", "account/3pid/bind", `{`+creds+`}`, 200, "")
		if got := c.owns(alice); got != "" {
			t.Errorf("the account has %s, which was not added", got)
		}
		if r := c.want(alice, "POST", "account/3pid/unbind", `{`+address+`}`, 200, ""); result(r) != "success" {
			t.Errorf("got %s", r)
		}
		if r := c.want(alice, "POST", "account/3pid/unbind", `{`+address+`}`, 200, ""); result(r) != "no-support" {
			t.Errorf("once more: got %s", r)
		}
		if r := c.want(alice, "POST", "account/3pid/unbind", `{`+address+`,"id_server":"id.test"}`, 200, ""); result(r) != "success" {
			t.Errorf("by name: got %s", r)
		}
		c.want(alice, "POST", "account/3pid", `{"three_pid_creds":{`+creds+`}}`, 200, "")
		c.want(alice, "POST", "account/3pid", `{}`, 400, "M_MISSING_PARAM")
		answers["unbind"] = ""
		if r := c.want(alice, "POST", "account/3pid/delete", `{`+address+`}`, 200, ""); result(r) != "no-support" {
			t.Errorf("where that is not done: got %s", r)
		}
		answers["unbind"] = `{}`
		if r := c.want(alice, "POST", "account/3pid/delete", `{`+address+`}`, 200, ""); result(r) != "success" {
			t.Errorf("got %s", r)
		}
		want := "[bind Bearer unbind X-Matrix unbind X-Matrix bind Bearer unbind X-Matrix unbind X-Matrix]"
		if got := fmt.Sprint(asked); got != want {
			t.Errorf("asked %s, want %s", got, want)
		}

		answers["bind"] = ""
		c.want(alice, "POST", "account/3pid/bind", `{`+creds+`}`, 400, "M_BAD_STATUS")
		c.want(alice, "POST", "account/3pid/bind", strings.Replace(`{`+creds+`}`, "id.test", "id.test/x?", 1), 400, "M_BAD_JSON")
		c.want(alice, "POST", "account/3pid/bind", strings.Replace(`{`+creds+`}`, "id.test", "127.0.0.1:8090", 1), 400, "M_CONNECTION_FAILED")
		c.want(alice, "POST", "account/3pid/unbind", strings.Replace(`{`+address+`,"id_server":"id.test"}`, "id.test", "localhost", 1), 400, "M_CONNECTION_FAILED")

		// Who leaves is forgotten.
		answers["bind"] = `{"medium":"email","address":"alice@example.org"}`
		c.want(alice, "POST", "account/3pid/bind", `{`+creds+`}`, 200, "")
		asked = nil
		leave := fmt.Sprintf(`{"auth":{"type":"m.login.password","user":"alice","password":%q}}`, alice.Password)
		if r := c.want(alice, "POST", "account/deactivate", leave, 200, ""); result(r) != "success" || fmt.Sprint(asked) != "[unbind X-Matrix]" {
			t.Errorf("got %s, asked %s", r, asked)
		}
	})
}

func TestAddressesEndWithTheAccount(t *testing.T) {
	c := newCorrespondence(t)
	alice, bob := c.Register("alice"), c.Register("bob")
	c.has(alice, "alice@example.org")
	leave := fmt.Sprintf(`{"auth":{"type":"m.login.password","identifier":{"type":"m.id.thirdparty","medium":"email","address":"alice@example.org"},"password":%q}}`, alice.Password)
	if r := c.want(alice, "POST", "account/deactivate", leave, 200, ""); !r.Get("id_server_unbind_result").Is("success") {
		t.Errorf("got %s", r)
	}
	c.has(bob, "alice@example.org")
	if got := c.owns(bob); got != "email alice@example.org" {
		t.Errorf("got %s", got)
	}
}
