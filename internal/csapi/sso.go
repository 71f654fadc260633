package csapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/internal/sso"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Where browsers come back from identity providers, and go on from there.
const (
	// SSOCallback is the path that the operator names to identity providers.
	SSOCallback = "/_matrix/client/unstable/org.parley/sso/callback"
	ssoRegister = "/_matrix/client/unstable/org.parley/sso/register"
	ssoContinue = "/_matrix/client/unstable/org.parley/sso/continue"
	ssoStage    = "/_matrix/client/unstable/org.parley/sso/stage"
)

// ssoRoutes are there if there are identity providers.
// https://spec.matrix.org/v1.19/client-server-api/#sso-client-loginauthentication
func (s *Server) ssoRoutes() []endpoint.Route {
	if s.SSO == nil {
		return nil
	}
	policy := endpoint.Policy{Auth: endpoint.None, Class: classAuth, BodyLimit: 8 << 10}
	b := &browsers{Server: s, page: newPage("", ""), done: newPage(authDone, "")}
	return []endpoint.Route{
		endpoint.Stream("GET /_matrix/client/v3/login/sso/redirect", policy, b.redirect),
		endpoint.Stream("GET /_matrix/client/v3/login/sso/redirect/{idpID}", policy, b.redirect),
		endpoint.Stream("GET /_matrix/client/v3/auth/m.login.sso/fallback/web", policy, b.stage),
		endpoint.Stream("GET "+SSOCallback, policy, b.callback),
		endpoint.Stream("POST "+ssoRegister, policy, b.register),
		endpoint.Stream("GET "+ssoContinue, policy, b.goOn),
		endpoint.Stream("POST "+ssoStage, policy, b.confirmStage),
	}
}

// browsers are those that log in by identity providers.
type browsers struct {
	*Server
	page, done page
}

// ssoCookie has what only the browser knows that was sent to an identity provider.
const ssoCookie = "parley_sso"

// known returns what a browser knows, and makes it up if that is not so yet.
func (b *browsers) known(w http.ResponseWriter, r *http.Request) string {
	if secret := browserOf(r); secret != "" {
		return secret
	}
	secret := sso.NewBrowser()
	http.SetCookie(w, &http.Cookie{
		Name: ssoCookie, Value: secret, Path: "/_matrix/client/", MaxAge: 3600, HttpOnly: true,
		Secure: strings.HasPrefix(b.Settings.BaseURL, "https:"),
		// It has to come along when the provider leads back, which is from another site.
		SameSite: http.SameSiteLaxMode,
	})
	return secret
}

func browserOf(r *http.Request) string {
	if cookie, err := r.Cookie(ssoCookie); err == nil && len(cookie.Value) == len(sso.NewBrowser()) {
		return cookie.Value
	}
	return ""
}

// redirect serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3loginssoredirect
// and https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3loginssoredirectidpid
func (b *browsers) redirect(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	to := r.URL.Query().Get("redirectUrl")
	if to == "" {
		return mxerr.New(mxerr.MissingParam, "redirectUrl is missing")
	}
	if _, ok := clientOf(to); !ok {
		return mxerr.New(mxerr.InvalidParam, "redirectUrl is no address of a client")
	}
	provider := r.PathValue("idpID")
	if provider == "" {
		list := b.SSO.Providers()
		if len(list) > 1 {
			return b.choose(w, list, func(p sso.Provider) string {
				return "/_matrix/client/v3/login/sso/redirect/" + url.PathEscape(p.ID) + "?" + url.Values{"redirectUrl": {to}}.Encode()
			})
		}
		provider = list[0].ID
	}
	return b.begin(w, r, provider, sso.Goal{Redirect: to})
}

// clientOf returns the address of a client with a scheme that leads somewhere: those
// of programs on the machine among them, but none that is itself a program.
func clientOf(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	if err != nil || len(text) > 2048 || u.Scheme == "" || u.Host == "" && u.Opaque == "" && u.Path == "" {
		return nil, false
	}
	bad := []string{"javascript", "data", "vbscript", "file", "blob", "about", "view-source"}
	web := u.Scheme == "http" || u.Scheme == "https"
	return u, !slices.Contains(bad, strings.ToLower(u.Scheme)) && !(web && (u.Host == "" || u.User != nil))
}

const (
	choice  markup = `<p><a class="button" href="{}">{}</a></p>` + "\n"
	choices markup = "<p>How do you want to go on?</p>\n{}"
)

// choose lets people choose among providers.
func (b *browsers) choose(w http.ResponseWriter, list []sso.Provider, address func(sso.Provider) string) error {
	var all markup
	for _, p := range list {
		all += choice.fill(escaped(address(p)), escaped(p.Name))
	}
	return b.page.write(w, http.StatusOK, "Log in to "+string(b.Name), choices.fill(all))
}

// begin sends a browser to a provider.
func (b *browsers) begin(w http.ResponseWriter, r *http.Request, provider string, g sso.Goal) error {
	address, err := b.SSO.Begin(r.Context(), provider, b.known(w, r), g)
	if err != nil {
		return b.refuse(w, r, err)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, address, http.StatusFound)
	return nil
}

// refuse shows why a login does not come about. What is wrong with a provider is for
// the log.
func (b *browsers) refuse(w http.ResponseWriter, r *http.Request, err error) error {
	status, why := http.StatusBadRequest, ""
	refusal := (*mxerr.Error)(nil)
	switch {
	case errors.Is(err, sso.ErrUnknown):
		status, why = http.StatusNotFound, "There is no such way to log in."
	case errors.Is(err, sso.ErrExpired):
		why = "The login was not begun in this browser, or too long ago. Please begin it again in your client."
	case errors.Is(err, sso.ErrUnreachable), errors.Is(err, sso.ErrRefused):
		why = "The login did not work at the other end. Please try it again."
		b.Log.WarnContext(r.Context(), "a login by an identity provider failed", "err", err)
	case errors.As(err, &refusal):
		status, why = refusal.Code.Status(), refusal.Message
	default:
		return err
	}
	return b.page.write(w, status, "This did not work", stageRefusal.fill(escaped(why)))
}

// callback takes a browser that comes back from a provider.
func (b *browsers) callback(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	q := r.URL.Query()
	if q.Get("error") != "" {
		return b.page.write(w, http.StatusForbidden, "You are not logged in", stageRefusal.fill("The login was cancelled or refused at the other end."))
	}
	a, err := b.SSO.Finish(r.Context(), q.Get("state"), browserOf(r), q.Get("code"))
	if err != nil {
		return b.refuse(w, r, err)
	}
	if a.Goal.Session != "" {
		return b.askStage(w, r, a)
	}
	user, err := b.whoIs(r.Context(), a)
	if errors.Is(err, mxerr.NotFound) {
		return b.newcomer(w, r, a)
	}
	if err != nil {
		return b.refuse(w, r, err)
	}
	return b.arrived(w, r, a, user)
}

// whoIs returns the user who has arrived, or [mxerr.NotFound] if that is nobody yet.
func (b *browsers) whoIs(ctx context.Context, a sso.Arrival) (id.UserID, error) {
	user, err := b.Accounts.ExternalUser(ctx, externalOf(a))
	if !errors.Is(err, mxerr.NotFound) || !a.Provider.Existing || a.Identity.Localpart == "" {
		return user, err
	}
	named, refusal := b.Accounts.LocalUser(strings.ToLower(a.Identity.Localpart))
	if refusal != nil {
		return "", err
	}
	switch there, fault := b.Accounts.Exists(ctx, named); {
	case fault != nil:
		return "", fault
	case !there:
		return "", err
	}
	return named, b.Accounts.AddExternalID(ctx, named, externalOf(a))
}

func externalOf(a sso.Arrival) account.ExternalID {
	return account.ExternalID{Provider: a.Provider.ID, Subject: a.Identity.Subject}
}

const (
	handOver markup = `<p>{} wants to use your account {}.</p>
<p><a class="button" href="{}">Continue</a></p>
<p>If you did not begin this, close the window.</p>`
)

// arrived gives the browser back to the client that has sent it: at once if the
// operator has named that, else when the user wants it.
func (b *browsers) arrived(w http.ResponseWriter, r *http.Request, a sso.Arrival, user id.UserID) error {
	client, ok := clientOf(a.Goal.Redirect)
	if !ok {
		return b.refuse(w, r, sso.ErrExpired)
	}
	if b.trusts(client) && r.Method == http.MethodGet {
		return b.handOver(w, r, a, user)
	}
	name := client.Host
	if client.Scheme != "https" && client.Scheme != "http" {
		name = "The program for " + client.Scheme + ":" // which is all that tells one from another
	}
	next := ssoContinue + "?" + url.Values{"state": {a.State}}.Encode()
	return b.page.write(w, http.StatusOK, "Log in to "+string(b.Name), handOver.fill(escaped(name), escaped(string(user)), escaped(next)))
}

// trusts reports whether a client need not be asked about: the operator has named it,
// or it is this server's own page.
func (b *browsers) trusts(client *url.URL) bool {
	site := strings.ToLower(client.Scheme + "://" + client.Host)
	own := b.Settings.BaseURL + loginPage
	return slices.Contains(b.Settings.SSOClients, site) || b.Settings.BaseURL != "" && site+client.Path == own
}

// goOn is where users go who want a client to use their account.
func (b *browsers) goOn(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	a, err := b.SSO.Arrived(r.Context(), r.URL.Query().Get("state"), browserOf(r))
	if err == nil && a.Goal.Redirect == "" {
		err = sso.ErrExpired
	}
	if err != nil {
		return b.refuse(w, r, err)
	}
	user, err := b.whoIs(r.Context(), a)
	if err != nil {
		return b.refuse(w, r, err)
	}
	return b.handOver(w, r, a, user)
}

// handOver leads to the client, with what it logs in with.
func (b *browsers) handOver(w http.ResponseWriter, r *http.Request, a sso.Arrival, user id.UserID) error {
	info, err := b.Accounts.Info(r.Context(), user)
	switch {
	case err != nil:
		return b.refuse(w, r, err)
	case info.Deactivated:
		return b.refuse(w, r, mxerr.New(mxerr.UserDeactivated, "The account %s was deactivated.", user))
	case info.Locked:
		return b.refuse(w, r, mxerr.New(mxerr.Forbidden, "The account %s is locked.", user))
	}
	if err := b.SSO.End(r.Context(), a); err != nil {
		return b.refuse(w, r, err)
	}
	token, err := b.Accounts.HandOver(r.Context(), user)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Location", withLoginToken(a.Goal.Redirect, token))
	w.WriteHeader(http.StatusFound)
	return nil
}

// withLoginToken returns an address with the token in place of any that is there,
// and leaves the rest of it as it is.
func withLoginToken(address, token string) string {
	before, fragment, hasFragment := strings.Cut(address, "#")
	path, query, _ := strings.Cut(before, "?")
	var pairs []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); pair != "" && (err != nil || name != "loginToken") {
			pairs = append(pairs, pair)
		}
	}
	address = path + "?" + strings.Join(append(pairs, "loginToken="+url.QueryEscape(token)), "&")
	if hasFragment {
		address += "#" + fragment
	}
	return address
}
