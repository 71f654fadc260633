package csapi

import (
	"html"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parley/internal/account"
	"parley/internal/store"
)

func twoTerms(version string) account.Terms {
	return account.Terms{
		"privacy": {Version: "1", Languages: map[string]account.Document{"en": {Name: "Privacy", URL: "https://a.test/p"}}},
		"terms_of_service": {Version: version, Languages: map[string]account.Document{
			"en": {Name: "Terms & Conditions", URL: "https://a.test/t?x=1&y=2"}, "fr": {Name: "Conditions d'utilisation", URL: "https://a.test/fr"},
		}},
	}
}

// accepted checks which versions of policies Alice has accepted.
func (s *accountScene) accepted(want string) {
	s.t.Helper()
	var got []string
	err := s.db.View(s.t.Context(), func(tx *store.Tx) error {
		for row, err := range tx.Query("SELECT policy, version FROM accepted_terms WHERE user_id = $1 ORDER BY policy, version", "@alice:a.test") {
			var policy, version string
			if err == nil {
				err = row.Scan(&policy, &version)
			}
			if err != nil {
				return err
			}
			got = append(got, policy+" "+version)
		}
		return nil
	})
	if strings.Join(got, ", ") != want || err != nil {
		s.t.Errorf("accepted are %q, %v, want %s", got, err, want)
	}
}

// page asks for a page, or sends a form if there are fields.
func (s *accountScene) page(path string, fields url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	if fields != nil {
		r = httptest.NewRequest("POST", path, strings.NewReader(fields.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Accept-Language", "de, fr-CH;q=0.9, en;q=0.8")
	w := httptest.NewRecorder()
	s.table.ServeHTTP(w, r)
	return w
}

func fallbackPath(stage account.Stage, session string) string {
	return "/_matrix/client/v3/auth/" + url.PathEscape(string(stage)) + "/fallback/web?session=" + url.QueryEscape(session)
}

// onPage wants a status, and texts on a page.
func (s *accountScene) onPage(w *httptest.ResponseRecorder, status int, texts ...string) {
	s.t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		s.t.Errorf("got %d %s, want %d", w.Code, w.Header(), status)
	}
	body := html.UnescapeString(w.Body.String())
	for _, text := range texts {
		if !strings.Contains(body, text) {
			s.t.Errorf("%q is not in %s", text, body)
		}
	}
	s.checkPolicy(w)
}

// checkPolicy wants all that is in a page to be allowed by its policy, and
// nothing else.
func (s *accountScene) checkPolicy(w *httptest.ResponseRecorder) {
	s.t.Helper()
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"} {
		if !strings.Contains(policy, want) {
			s.t.Errorf("the policy %s has no %s", policy, want)
		}
	}
	body, allowed := w.Body.String(), 0
	for _, element := range regexp.MustCompile(`(?s)<(?:script|style)>(.*?)</(?:script|style)>`).FindAllStringSubmatch(body, -1) {
		if allowed++; !strings.Contains(policy, hashSource(element[1])) {
			s.t.Errorf("the policy %s does not allow %s", policy, element[1])
		}
	}
	if all := strings.Count(policy, "'sha256-"); all != allowed {
		s.t.Errorf("the policy allows %d texts, and there are %d", all, allowed)
	}
	if regexp.MustCompile(` (style|on[a-z]+)=`).MatchString(body) {
		s.t.Errorf("not allowed is something in %s", body)
	}
}

func TestTermsAreAcceptedBeforeThereIsAnAccount(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen, Terms: twoTerms("1.2")})
	first := s.want(s.call("", "POST", "/register", `{"username":"alice","password":%q}`, goodPassword), 401, "")
	for _, want := range []string{
		`"flows":[{"stages":["m.login.terms"]},{"stages":["m.login.registration_token","m.login.terms"]}]`,
		`"params":{"m.login.terms":{"policies":{"privacy":{"en":{"name":"Privacy","url":"https://a.test/p"},"version":"1"},"terms_of_service":{"en":`,
	} {
		if !strings.Contains(first.text, want) {
			t.Errorf("got %s, want %s in it", first.text, want)
		}
	}
	s.want(s.call("", "POST", "/register", `{"auth":{"type":"m.login.dummy","session":%q}}`, first.get("session")), 401, "M_FORBIDDEN")
	s.want(s.call("", "POST", "/register", `{"auth":{"type":"m.login.terms","session":%q}}`, first.get("session")), 200, "")
	s.accepted("privacy 1, terms_of_service 1.2")
}

func TestTermsAreAcceptedOnAPage(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen, Terms: twoTerms("1.2")})
	session := s.want(s.call("", "POST", "/register", `{"username":"alice","password":%q}`, goodPassword), 401, "").get("session")
	path := fallbackPath(account.StageTerms, session)
	shown := twoTerms("1.2").Versions()
	s.onPage(s.page(path, nil), 200, `href="https://a.test/fr"`, "Conditions d'utilisation", "Privacy", shown)
	s.onPage(s.page(path, url.Values{"shown": {shown}}), 401, "you have to accept all of them")
	s.onPage(s.page(path, url.Values{"shown": {shown}, "accept": {"privacy"}}), 401, "you have to accept all of them")
	s.onPage(s.page(path, url.Values{"shown": {"other"}, "accept": {"privacy", "terms_of_service"}}), 401, "have changed")
	s.want(s.call("", "POST", "/register", `{"auth":{"session":%q}}`, session), 401, "")
	for range 2 { // it is done only once
		s.onPage(s.page(path, url.Values{"shown": {shown}, "accept": {"privacy", "terms_of_service"}}), 200,
			"window.onAuthDone();", `window.opener.postMessage("authDone", "*");`)
	}
	s.onPage(s.page(path, nil), 200, "window.onAuthDone();")
	s.want(s.call("", "POST", "/register", `{"auth":{"session":%q}}`, session), 200, "")
	s.login("alice", "")
	s.onPage(s.page(path, nil), 404, "no such session")
	s.accepted("privacy 1, terms_of_service 1.2")
}

func TestTermsThatChangedAreShownAgain(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen, Terms: twoTerms("1")})
	session := s.want(s.call("", "POST", "/register", `{"username":"alice"}`), 401, "").get("session")
	later := New(Parts{Name: "a.test", Settings: Settings{Registration: RegistrationOpen, Terms: twoTerms("2")}, Accounts: s.Accounts, Profiles: s.profiles})
	s.serve(later)
	const accept = `{"auth":{"type":"m.login.terms","session":%q}}`
	again := s.want(s.call("", "POST", "/register", accept, session), 401, "M_FORBIDDEN")
	if again.get("session") != session || !strings.Contains(again.text, `"version":"2"`) {
		t.Errorf("got %s", again.text)
	}
	s.want(s.call("", "POST", "/register", accept, session), 200, "")
	s.accepted("privacy 1, terms_of_service 2")
}

func TestARegistrationTokenIsShownOnAPage(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationToken, Terms: twoTerms("1")})
	if _, err := s.CreateRegistrationToken(t.Context(), account.RegistrationToken{Token: "abc", Uses: 1}); err != nil {
		t.Fatal(err)
	}
	session := s.want(s.call("", "POST", "/register", `{"username":"alice","password":%q}`, goodPassword), 401, "").get("session")
	path := fallbackPath(account.StageRegistrationToken, session)
	s.onPage(s.page(fallbackPath(account.StageTerms, session), nil), 404, "not what is to be done next")
	s.onPage(s.page(path, nil), 200, "registration token")
	s.onPage(s.page(path, url.Values{"token": {"wrong"}}), 401, "is not known")
	s.onPage(s.page(path, url.Values{"token": {"\x00\xff"}}), 401)
	s.onPage(s.page(path, url.Values{"token": {"abc"}}), 200, "onAuthDone")
	left := s.want(s.call("", "POST", "/register", `{"auth":{"session":%q}}`, session), 401, "")
	if !strings.Contains(left.text, `"completed":["m.login.registration_token"]`) {
		t.Errorf("got %s", left.text)
	}
	s.want(s.call("", "POST", "/register", `{"auth":{"session":%q,"type":"m.login.terms"}}`, session), 200, "")
	s.login("alice", "")
}

func TestAPasswordIsGivenOnAPage(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	alice := s.register("alice")
	s.login("alice", "SECOND")
	session := s.want(s.call(alice, "DELETE", "/devices/SECOND", ""), 401, "").get("session")
	path := fallbackPath(account.StagePassword, session)
	s.onPage(s.page(path, nil), 200, "@alice:a.test", `type="password"`)
	s.onPage(s.page(path, url.Values{"password": {"wrong"}}), 401, "Wrong username or password")
	s.onPage(s.page(path, url.Values{"password": {goodPassword}}), 200, "onAuthDone")
	s.want(s.call(alice, "DELETE", "/devices/SECOND", `{"auth":{"session":%q}}`, session), 200, "")

	// Who has no token says who it is.
	session = s.want(s.call("", "POST", "/account/password", `{"new_password":"battery staple"}`), 401, "").get("session")
	path = fallbackPath(account.StagePassword, session)
	s.onPage(s.page(path, nil), 200, `name="user"`)
	s.onPage(s.page(path, url.Values{"user": {"alice"}, "password": {goodPassword}}), 200, "onAuthDone")
	s.want(s.call("", "POST", "/account/password", `{"auth":{"session":%q}}`, session), 200, "")
}

func TestPagesOfWhatThereIsNot(t *testing.T) {
	s := newAccountScene(t, Settings{Registration: RegistrationOpen})
	session := s.want(s.call("", "POST", "/register", `{}`), 401, "").get("session")
	s.onPage(s.page(fallbackPath(account.StageDummy, session), nil), 200, "Continue")
	for _, path := range []string{
		fallbackPath(account.StageDummy, ""), fallbackPath(account.StageDummy, "x"), fallbackPath(account.StageDummy, "\x00\xff"),
		fallbackPath(account.StagePassword, session), fallbackPath("m.login.recaptcha", session), "/_matrix/client/v3/auth/m.login.dummy/fallback/web",
		fallbackPath(account.StageDummy, `"><script>alert(1)</script>`),
	} {
		s.onPage(s.page(path, nil), 404, "This did not work")
		s.onPage(s.page(path, url.Values{}), 404, "This did not work")
	}
	s.onPage(s.page(fallbackPath(account.StageDummy, session), url.Values{}), 200, "onAuthDone")
	s.want(s.call("", "POST", "/register", `{"auth":{"session":%q}}`, session), 200, "")
}

func TestTheLoginPage(t *testing.T) {
	s := newAccountScene(t, Settings{})
	w := s.page("/_matrix/static/client/login/?device_id=GHTYAJCE", nil)
	s.onPage(w, 200, "Log in to a.test", "window.matrixLogin.onLogin(answer)", "client/v3/login")
	if !strings.Contains(w.Header().Get("Content-Security-Policy"), "connect-src 'self'") {
		t.Error("the page may not ask the server")
	}
}

func TestBestLanguage(t *testing.T) {
	for _, row := range []struct {
		accepted  string
		languages []string
		want      string
	}{
		{"", []string{"de", "en", "fr"}, "en"},
		{"", []string{"de", "fr"}, "de"},
		{"fr", []string{"de", "en", "fr"}, "fr"},
		{"it, fr;q=0.5", []string{"en", "fr"}, "fr"},
		{"en-GB", []string{"en_GB", "en"}, "en_GB"},
		{"pt-PT", []string{"en", "pt_BR"}, "pt_BR"},
		{"*, ,;;", []string{"de", "en"}, "en"},
	} {
		if got := bestLanguage(row.accepted, row.languages); got != row.want {
			t.Errorf("%q of %v: got %s, want %s", row.accepted, row.languages, got, row.want)
		}
	}
}

func FuzzBestLanguage(f *testing.F) {
	for _, accepted := range []string{"", "de, fr-CH;q=0.9, en;q=0.8", "*", ",;-_,", "\xff"} {
		f.Add(accepted)
	}
	languages := []string{"de", "en_GB", "zh-Hant"}
	f.Fuzz(func(t *testing.T, accepted string) {
		if got := bestLanguage(accepted, languages); !slices.Contains(languages, got) {
			t.Errorf("%q: got %q", accepted, got)
		}
	})
}
