package csapi

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// authFallbackRoutes are pages on which users do a stage of authentication that
// their client does not know.
// https://spec.matrix.org/v1.19/client-server-api/#fallback
func (s *Server) authFallbackRoutes() []endpoint.Route {
	policy := endpoint.Policy{Auth: endpoint.None, Class: classAuth, BodyLimit: 8 << 10}
	sends := policy
	sends.Class = classValidation
	f := &fallback{
		accounts: s.Accounts, terms: s.Settings.Terms,
		form: newPage("", ""), done: newPage(authDone, ""),
	}
	return []endpoint.Route{
		endpoint.Stream("GET /_matrix/client/v3/auth/{authType}/fallback/web", policy, f.show),
		endpoint.Stream("POST /_matrix/client/v3/auth/{authType}/fallback/web", policy, f.submit),
		// What has something sent is limited as elsewhere.
		endpoint.Stream("POST /_matrix/client/v3/auth/m.login.email.identity/fallback/web", sends, f.submit),
		endpoint.Stream("POST /_matrix/client/v3/auth/m.login.msisdn/fallback/web", sends, f.submit),
	}
}

// stageIn is the stage that a path names.
func stageIn(r *http.Request) account.Stage { return account.Stage(strings.Split(r.URL.Path, "/")[5]) }

// authDone tells the client, as the specification has it.
const authDone markup = `if (window.onAuthDone) {
    window.onAuthDone();
} else if (window.opener && window.opener.postMessage) {
    window.opener.postMessage("authDone", "*");
}`

// What the pages are made of.
const (
	stageRefusal markup = `<p class="error">{}</p>`
	stageForm    markup = `<form method="post" action="?session={}">
{}<button>{}</button>
</form>`
	tokenFields markup = `<label>The registration token that you were given
<input name="token" required autofocus autocomplete="off" maxlength="64"></label>
`
	userField markup = `<label>Username <input name="user" required autofocus autocomplete="username"></label>
`
	userShown      markup = "<p>Please confirm that you are {}.</p>\n"
	passwordFields markup = `{}<label>Password <input name="password" type="password" required autocomplete="current-password"></label>
`
	termsFields markup = `<p>This server asks you to read and accept:</p>
{}<input type="hidden" name="shown" value="{}">
`
	termsField markup = `<label class="check"><input type="checkbox" name="accept" value="{}" required>
<span><a href="{}" target="_blank" rel="noopener noreferrer">{}</a></span></label>
`
	stageDone markup = `<p>Thank you. You can close this window and go back to your client.</p>`
)

// fallback is the pages.
type fallback struct {
	accounts   *account.Accounts
	terms      account.Terms
	form, done page
}

// stageContent is what the form shows.
type stageContent struct {
	stage                  account.Stage
	session, user, refusal string
	terms                  markup
	sent                   sentProof
}

func (c stageContent) markup() markup {
	var fields, before markup
	button := markup("Continue")
	switch c.stage {
	case account.StageRegistrationToken:
		fields = tokenFields
	case account.StagePassword:
		who := userField
		if c.user != "" {
			who = userShown.fill(escaped(c.user))
		}
		fields = passwordFields.fill(who)
	case account.StageTerms:
		fields, button = c.terms, "Accept"
	case account.StageEmail, account.StageMSISDN:
		fields, button = c.sent.markup(c.stage)
	}
	if c.refusal != "" {
		before = stageRefusal.fill(escaped(c.refusal)) + "\n"
	}
	return before + stageForm.fill(escaped(url.QueryEscape(c.session)), fields, button)
}

// titles of the pages, which are also what there is a page for.
func title(stage account.Stage) string {
	switch stage {
	case account.StageDummy:
		return "Go on"
	case account.StagePassword:
		return "Your password"
	case account.StageRegistrationToken:
		return "Registration token"
	case account.StageTerms:
		return "Terms of this server"
	case account.StageEmail:
		return "Your mail address"
	case account.StageMSISDN:
		return "Your telephone number"
	}
	return ""
}

func (f *fallback) show(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	stage, session := stageIn(r), r.URL.Query().Get("session")
	return f.present(w, r, stage, session, "", sentProof{})
}

// present shows the form of a stage, or that it is done. The refusal is that of
// the last attempt, if there was one.
func (f *fallback) present(w http.ResponseWriter, r *http.Request, stage account.Stage, session, refusal string, sent sentProof) error {
	state, err := f.accounts.Stage(r.Context(), session, stage)
	if title(stage) == "" {
		err = mxerr.New(mxerr.NotFound, "There is no page for this")
	}
	if e := (*mxerr.Error)(nil); errors.As(err, &e) {
		return f.form.write(w, e.Code.Status(), "This did not work", stageRefusal.fill(escaped(e.Message)))
	}
	if err != nil {
		return err
	}
	if state.Done {
		return f.done.write(w, http.StatusOK, "Done", stageDone)
	}
	content := stageContent{stage: stage, session: session, user: string(state.User), refusal: refusal, sent: sent}
	if stage == account.StageTerms {
		content.terms = termsMarkup(f.terms, r.Header.Get("Accept-Language"))
	}
	status := http.StatusOK
	if refusal != "" {
		status = http.StatusUnauthorized
	}
	return f.form.write(w, status, title(stage), content.markup())
}

// termsMarkup is what lets people accept policies, each shown in a language that the
// browser asks for if there is one.
func termsMarkup(terms account.Terms, accepted string) markup {
	var all markup
	for _, name := range slices.Sorted(maps.Keys(terms)) {
		languages := terms[name].Languages
		d := languages[bestLanguage(accepted, slices.Sorted(maps.Keys(languages)))]
		// The settings have checked that it leads to http or https.
		all += termsField.fill(escaped(name), escaped(d.URL), escaped(d.Name))
	}
	return termsFields.fill(all, escaped(terms.Versions()))
}

// bestLanguage returns which of some languages comes first in what a browser
// accepts, else English, else the first. Browsers list what they like best first.
func bestLanguage(accepted string, languages []string) string {
	primary := func(tag string) string {
		tag, _, _ = strings.Cut(strings.ReplaceAll(tag, "_", "-"), "-")
		return strings.ToLower(tag)
	}
	for _, tag := range append(strings.Split(accepted, ","), "en") {
		tag, _, _ = strings.Cut(strings.TrimSpace(tag), ";")
		for _, same := range []func(string) string{strings.ToLower, primary} {
			if i := slices.IndexFunc(languages, func(l string) bool { return same(l) == same(tag) }); i >= 0 {
				return languages[i]
			}
		}
	}
	return languages[0]
}

func (f *fallback) submit(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	stage, session := stageIn(r), r.URL.Query().Get("session")
	if err := parseForm(r); err != nil {
		return err
	}
	refusal, sent := f.unaccepted(r, stage), sentProof{}
	if refusal == "" {
		auth, ready := canonjson.Value("{}"), true
		for _, field := range []string{"token", "user", "password"} {
			if r.PostForm.Has(field) {
				auth = auth.With(field, canonjson.Text(strings.ToValidUTF8(r.PostForm.Get(field), "")))
			}
		}
		var err error
		if stage == account.StageEmail || stage == account.StageMSISDN {
			auth, sent, ready, err = f.proof(r, stage, session)
		}
		if err == nil && ready {
			err = f.accounts.DoStage(r.Context(), session, stage, auth, f.terms)
		}
		if e := (*mxerr.Error)(nil); errors.As(err, &e) {
			refusal = e.Message
		} else if err != nil {
			return err
		}
	}
	return f.present(w, r, stage, session, refusal, sent)
}

// parseForm reads what somebody has filled in.
func parseForm(r *http.Request) error {
	err := r.ParseForm()
	if large := (*http.MaxBytesError)(nil); err == nil || errors.As(err, &large) {
		return err
	}
	return mxerr.New(mxerr.InvalidParam, "The form cannot be read").Wrap(err)
}

// unaccepted says why somebody has not accepted the policies, if that is the stage.
func (f *fallback) unaccepted(r *http.Request, stage account.Stage) string {
	if stage != account.StageTerms {
		return ""
	}
	return unacceptedTerms(f.terms, r.PostForm)
}

// unacceptedTerms says why somebody has not accepted policies as they are.
func unacceptedTerms(terms account.Terms, form url.Values) string {
	if form.Get("shown") != terms.Versions() {
		return "The policies have changed: please look at them again."
	}
	for name := range terms {
		if !slices.Contains(form["accept"], name) {
			return "To go on you have to accept all of them."
		}
	}
	return ""
}
