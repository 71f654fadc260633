package csapi

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/internal/sso"
	"parley/matrix/id"
)

// stage sends a browser to a provider by which a user confirms something.
// https://spec.matrix.org/v1.19/client-server-api/#sso-during-user-interactive-authentication
func (b *browsers) stage(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	q := r.URL.Query()
	session := q.Get("session")
	state, err := b.Accounts.Stage(r.Context(), session, account.StageSSO)
	if err != nil {
		return b.refuse(w, r, err)
	}
	if state.Done {
		return b.done.write(w, http.StatusOK, "Done", stageDone)
	}
	list, err := b.providersOf(r.Context(), state.User)
	if err != nil {
		return err
	}
	for _, p := range list {
		if len(list) == 1 || p.ID == q.Get("provider") {
			return b.begin(w, r, p.ID, sso.Goal{Session: session})
		}
	}
	return b.choose(w, list, func(p sso.Provider) string {
		return "?" + url.Values{"session": {session}, "provider": {p.ID}}.Encode()
	})
}

// providersOf are the providers that know a user.
func (s *Server) providersOf(ctx context.Context, user id.UserID) (list []sso.Provider, err error) {
	if s.SSO == nil || user == "" {
		return nil, nil
	}
	ids, err := s.Accounts.ExternalIDs(ctx, user)
	for _, p := range s.SSO.Providers() {
		if slices.ContainsFunc(ids, func(e account.ExternalID) bool { return e.Provider == p.ID }) {
			list = append(list, p)
		}
	}
	return list, err
}

const stageQuestion markup = `<p>A client wants to {} in your account {}. If you did not expect that, somebody else may be using
your account: close this window, and log out the devices that you do not know.</p>
<form method="post" action="{}">
<input type="hidden" name="state" value="{}">
<button>Confirm</button>
</form>`

// askStage asks whether what is to be confirmed is what the user wants: the provider
// may not have asked anything.
func (b *browsers) askStage(w http.ResponseWriter, r *http.Request, a sso.Arrival) error {
	state, err := b.Accounts.Stage(r.Context(), a.Goal.Session, account.StageSSO)
	if err != nil {
		return b.refuse(w, r, err)
	}
	return b.page.write(w, http.StatusOK, "Please confirm",
		stageQuestion.fill(escaped(wish(state.Operation)), escaped(string(state.User)), ssoStage, escaped(a.State)))
}

// wish says in words what an operation is.
func wish(operation string) string {
	switch {
	case operation == account.ToAdd:
		return "add an address"
	case operation == account.ToReset:
		return "set a new password"
	case operation == toLogInAnother:
		return "log in another device"
	case operation == toReplaceKeys:
		return "replace the keys that show who you are"
	case operation == toDeactivate:
		return "close everything for good"
	case operation == toLogOutDevices || strings.HasPrefix(operation, toLogOutDevice):
		return "log out devices"
	}
	return "do something of importance"
}

// confirmStage does the stage for who has arrived, and has said that it is wanted.
func (b *browsers) confirmStage(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	if err := parseForm(r); err != nil {
		return err
	}
	a, err := b.SSO.Arrived(r.Context(), r.PostForm.Get("state"), browserOf(r))
	if err == nil && a.Goal.Session == "" {
		err = sso.ErrExpired
	}
	if err == nil {
		err = b.SSO.End(r.Context(), a)
	}
	if err != nil {
		return b.refuse(w, r, err)
	}
	user, err := b.Accounts.ExternalUser(r.Context(), externalOf(a))
	if err == nil {
		err = b.Accounts.DoneElsewhere(r.Context(), a.Goal.Session, user)
	}
	if err != nil {
		return b.refuse(w, r, err)
	}
	return b.done.write(w, http.StatusOK, "Done", stageDone)
}
