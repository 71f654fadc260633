package csapi

import (
	"errors"
	"html/template"
	"maps"
	"net/http"
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
	f := &fallback{
		accounts: s.Accounts, terms: s.Settings.Terms,
		form: newPage(stageForm, "", ""), done: newPage(stageDone, authDone, ""), failed: newPage(stageFailed, "", ""),
	}
	return []endpoint.Route{
		endpoint.Stream("GET /_matrix/client/v3/auth/{authType}/fallback/web", policy, f.show),
		endpoint.Stream("POST /_matrix/client/v3/auth/{authType}/fallback/web", policy, f.submit),
	}
}

// authDone tells the client, as the specification has it.
const authDone = `if (window.onAuthDone) {
    window.onAuthDone();
} else if (window.opener && window.opener.postMessage) {
    window.opener.postMessage("authDone", "*");
}`

const stageForm = `{{with .Refusal}}<p class="error">{{.}}</p>
{{end}}<form method="post" action="?session={{.Session}}">
{{if eq .Stage "m.login.registration_token"}}<label>The registration token that you were given
<input name="token" required autofocus autocomplete="off" maxlength="64"></label>
{{else if eq .Stage "m.login.password"}}{{if .User}}<p>Please confirm that you are {{.User}}.</p>
{{else}}<label>Username <input name="user" required autofocus autocomplete="username"></label>
{{end}}<label>Password <input name="password" type="password" required autocomplete="current-password"></label>
{{else if eq .Stage "m.login.terms"}}<p>This server asks you to read and accept:</p>
{{range .Documents}}<label class="check"><input type="checkbox" name="accept" value="{{.Policy}}" required>
<span><a href="{{.URL}}" target="_blank" rel="noopener noreferrer">{{.Name}}</a></span></label>
{{end}}<input type="hidden" name="shown" value="{{.Shown}}">
{{end}}<button>{{if eq .Stage "m.login.terms"}}Accept{{else}}Continue{{end}}</button>
</form>`

const (
	stageDone   = `<p>Thank you. You can close this window and go back to your client.</p>`
	stageFailed = `<p class="error">{{.}}</p>`
)

// fallback is the pages.
type fallback struct {
	accounts           *account.Accounts
	terms              account.Terms
	form, done, failed page
}

// A shownDocument is a policy in the language that fits the user best.
type shownDocument struct {
	Policy, Name string
	URL          template.URL
}

// stageContent is what the form shows.
type stageContent struct {
	Stage, Session, User, Refusal, Shown string
	Documents                            []shownDocument
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
	}
	return ""
}

func (f *fallback) show(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	stage, session := account.Stage(r.PathValue("authType")), r.URL.Query().Get("session")
	return f.present(w, r, stage, session, "")
}

// present shows the form of a stage, or that it is done. The refusal is that of
// the last attempt, if there was one.
func (f *fallback) present(w http.ResponseWriter, r *http.Request, stage account.Stage, session, refusal string) error {
	state, err := f.accounts.Stage(r.Context(), session, stage)
	if title(stage) == "" {
		err = mxerr.New(mxerr.NotFound, "There is no page for this")
	}
	if e := (*mxerr.Error)(nil); errors.As(err, &e) {
		return f.failed.write(w, e.Code.Status(), "This did not work", e.Message)
	}
	if err != nil {
		return err
	}
	if state.Done {
		return f.done.write(w, http.StatusOK, "Done", nil)
	}
	content := stageContent{Stage: string(stage), Session: session, User: string(state.User), Refusal: refusal}
	if stage == account.StageTerms {
		content.Documents, content.Shown = f.documents(r), f.terms.Versions()
	}
	status := http.StatusOK
	if refusal != "" {
		status = http.StatusUnauthorized
	}
	return f.form.write(w, status, title(stage), content)
}

// documents returns the policies, each in a language that the browser asks for if
// there is one.
func (f *fallback) documents(r *http.Request) []shownDocument {
	var list []shownDocument
	for _, name := range slices.Sorted(maps.Keys(f.terms)) {
		d := f.terms[name].Languages[bestLanguage(r.Header.Get("Accept-Language"), slices.Sorted(maps.Keys(f.terms[name].Languages)))]
		// The settings have checked that it is http or https.
		list = append(list, shownDocument{name, d.Name, template.URL(d.URL)})
	}
	return list
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
	stage, session := account.Stage(r.PathValue("authType")), r.URL.Query().Get("session")
	if err := r.ParseForm(); err != nil {
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			return err
		}
		return mxerr.New(mxerr.InvalidParam, "The form cannot be read").Wrap(err)
	}
	refusal := f.unaccepted(r, stage)
	if refusal == "" {
		auth := canonjson.Value("{}")
		for _, field := range []string{"token", "user", "password"} {
			if r.PostForm.Has(field) {
				auth = auth.With(field, canonjson.Text(strings.ToValidUTF8(r.PostForm.Get(field), "")))
			}
		}
		err := f.accounts.DoStage(r.Context(), session, stage, auth, f.terms)
		if e := (*mxerr.Error)(nil); errors.As(err, &e) {
			refusal = e.Message
		} else if err != nil {
			return err
		}
	}
	return f.present(w, r, stage, session, refusal)
}

// unaccepted says why somebody has not accepted the policies as they are.
func (f *fallback) unaccepted(r *http.Request, stage account.Stage) string {
	if stage != account.StageTerms {
		return ""
	}
	if r.PostForm.Get("shown") != f.terms.Versions() {
		return "The policies have changed: please look at them again."
	}
	for name := range f.terms {
		if !slices.Contains(r.PostForm["accept"], name) {
			return "To go on you have to accept all of them."
		}
	}
	return ""
}
