package csapi

import (
	"context"
	"net/http"
	"net/url"

	"parley/internal/account"
	"parley/internal/endpoint"
)

// Where an address is validated: by a page that a link in a mail leads to, and, for
// what has to be typed, by a request as an identity server takes it.
const (
	validationPath = "/_matrix/client/unstable/org.parley/validate/email"
	submitPath     = "/_matrix/client/unstable/org.parley/validate/msisdn/submitToken"
)

// ValidationPage returns the path of the page on which a mail address is confirmed.
func ValidationPage(sid, token string) string {
	return validationPath + "?" + url.Values{"sid": {sid}, "token": {token}}.Encode()
}

func (s *Server) validationRoutes() []endpoint.Route {
	policy := endpoint.Policy{Auth: endpoint.None, Class: classAuth, BodyLimit: 8 << 10}
	v := validationPages{s.Accounts, newPage("", "")}
	return []endpoint.Route{
		endpoint.Stream("GET "+validationPath, policy, v.show),
		endpoint.Stream("POST "+validationPath, policy, v.confirm),
		endpoint.On("POST "+submitPath, policy, s.submitToken),
	}
}

type submitRequest struct {
	SID    string `json:"sid" required:"true"`
	Secret string `json:"client_secret" required:"true"`
	Token  string `json:"token" required:"true"`
}

type submitResponse struct {
	Success bool `json:"success"`
}

// submitToken is as https://spec.matrix.org/v1.19/identity-service-api/#post_matrixidentityv2validatemsisdnsubmittoken
func (s *Server) submitToken(ctx context.Context, _ endpoint.Caller, req submitRequest) (submitResponse, error) {
	_, err := s.Accounts.Validate(ctx, req.SID, req.Secret, req.Token)
	return submitResponse{err == nil}, err
}

// validationPages are what people see who follow the link in a mail. Nothing is done
// before they press a button: programs that look into mail follow links, too.
type validationPages struct {
	accounts *account.Accounts
	page     page
}

const (
	confirmForm markup = `<p>{}</p>
<form method="post" action="?{}">
<button>{}</button>
</form>`
	confirmed   markup = `<p>Thank you: {} is confirmed. You can close this window and go back to where you came from.</p>`
	confirmedOn markup = `<p>Thank you: {} is confirmed.</p>
<p><a href="{}">Go on</a></p>`
)

func (v validationPages) show(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	q := r.URL.Query()
	is, err := v.accounts.Validation(r.Context(), q.Get("sid"), q.Get("token"))
	if err != nil {
		return v.refuse(w, err)
	}
	if is.Done {
		return v.thank(w, is)
	}
	what, button := "You want to add "+is.Address+" to your account.", markup("Add it")
	switch is.Operation {
	case account.ToRegister:
		what, button = "You want to make an account with the address "+is.Address+".", "Confirm the address"
	case account.ToReset:
		what, button = "You want a new password for the account with the address "+is.Address+". If you do not, close this window.", "Confirm that it is you"
	}
	again := escaped(url.Values{"sid": {q.Get("sid")}, "token": {q.Get("token")}}.Encode())
	return v.page.write(w, http.StatusOK, "Your address", confirmForm.fill(escaped(what), again, button))
}

func (v validationPages) confirm(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	q := r.URL.Query()
	is, err := v.accounts.Validate(r.Context(), q.Get("sid"), "", q.Get("token"))
	if err != nil {
		return v.refuse(w, err)
	}
	return v.thank(w, is)
}

// thank leads on, if there is somewhere to go. A redirect would not do: it follows
// a form, and browsers hold where that may lead against the policy of its page.
func (v validationPages) thank(w http.ResponseWriter, is account.Validation) error {
	if is.NextLink == "" {
		return v.page.write(w, http.StatusOK, "Done", confirmed.fill(escaped(is.Address)))
	}
	w.Header().Set("Refresh", "0; url="+is.NextLink)
	return v.page.write(w, http.StatusOK, "Done", confirmedOn.fill(escaped(is.Address), escaped(is.NextLink)))
}

func (v validationPages) refuse(w http.ResponseWriter, err error) error {
	return v.page.refuse(w, err, "The link is not good any more, or was not copied as a whole.")
}
