package csapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/internal/profile"
	"parley/internal/sso"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

const (
	nameForm markup = `{}<form method="post" action="{}">
<input type="hidden" name="state" value="{}">
<label>Username <input name="username" value="{}" required autofocus autocomplete="username" maxlength="200"></label>
{}<button>Make the account</button>
</form>`
	nameHint markup = "<p>You have no account on {} yet. How do you want to be called? That cannot be changed later.</p>\n"
)

// newcomer makes an account for somebody who has none, if there is nothing to be
// asked for that: the provider knows a name that nobody has, and there are no terms.
func (b *browsers) newcomer(w http.ResponseWriter, r *http.Request, a sso.Arrival) error {
	if a.Provider.Closed {
		return b.refuse(w, r, mxerr.New(mxerr.Forbidden, "You have no account here, and cannot get one in this way."))
	}
	if a.Identity.Localpart == "" || len(b.Settings.Terms) > 0 {
		return b.askName(w, r, a, a.Identity.Localpart, "")
	}
	user, err := b.createFor(r.Context(), a, a.Identity.Localpart, "")
	if triable(err) {
		return b.askName(w, r, a, a.Identity.Localpart, "")
	}
	if err != nil {
		return b.refuse(w, r, err)
	}
	return b.arrived(w, r, a, user)
}

// triable reports whether another name could do.
func triable(err error) bool {
	return errors.Is(err, mxerr.UserInUse) || errors.Is(err, mxerr.InvalidUsername) || errors.Is(err, mxerr.Exclusive)
}

// askName asks how somebody wants to be called, and whether they accept the terms.
func (b *browsers) askName(w http.ResponseWriter, r *http.Request, a sso.Arrival, name, refusal string) error {
	before, status := nameHint.fill(escaped(string(b.Name))), http.StatusOK
	if refusal != "" {
		before, status = before+stageRefusal.fill(escaped(refusal))+"\n", http.StatusBadRequest
	}
	var terms markup
	if len(b.Settings.Terms) > 0 {
		terms = termsMarkup(b.Settings.Terms, r.Header.Get("Accept-Language"))
	}
	return b.page.write(w, status, "Your name on "+string(b.Name),
		nameForm.fill(before, ssoRegister, escaped(a.State), escaped(strings.ToLower(name)), terms))
}

// register makes an account with the name that somebody wants.
func (b *browsers) register(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	if err := parseForm(r); err != nil {
		return err
	}
	a, err := b.SSO.Arrived(r.Context(), r.PostForm.Get("state"), browserOf(r))
	if err == nil && (a.Goal.Redirect == "" || a.Provider.Closed) {
		err = sso.ErrExpired
	}
	if err != nil {
		return b.refuse(w, r, err)
	}
	name := strings.ToValidUTF8(r.PostForm.Get("username"), "")
	if refusal := unacceptedTerms(b.Settings.Terms, r.PostForm); refusal != "" {
		return b.askName(w, r, a, name, refusal)
	}
	user, err := b.createFor(r.Context(), a, name, b.Settings.Terms.Versions())
	if refusal := (*mxerr.Error)(nil); triable(err) && errors.As(err, &refusal) {
		return b.askName(w, r, a, name, refusal.Message)
	}
	if err != nil {
		return b.refuse(w, r, err)
	}
	return b.arrived(w, r, a, user)
}

// createFor makes an account for somebody whom a provider knows, without a password.
// What the provider says beside the name is of no moment if it does not fit.
func (b *browsers) createFor(ctx context.Context, a sso.Arrival, name, accepted string) (id.UserID, error) {
	if name == "" {
		return "", mxerr.New(mxerr.InvalidUsername, "A name is needed")
	}
	external := externalOf(a)
	n := account.NewAccount{Localpart: name, External: &external, Accepted: accepted}
	if profile.CheckDisplayname(a.Identity.DisplayName) == nil {
		n.Name = a.Identity.DisplayName
	}
	if t, bad := account.ParseEmail(a.Identity.Email); bad == nil {
		n.Verified = t
	}
	made, err := b.Accounts.Create(ctx, n)
	return made.UserID, err
}
