package csapi

import (
	_ "embed"
	"net/http"

	"parley/internal/endpoint"
)

// loginFallbackRoutes are the page on which users log in whose client does not
// know any way to do so.
// https://spec.matrix.org/v1.19/client-server-api/#login-fallback
func (s *Server) loginFallbackRoutes() []endpoint.Route {
	p := newPage(loginScript, "; connect-src 'self'")
	form := loginForm.fill(s.providerLinks())
	return []endpoint.Route{
		endpoint.Stream("GET "+loginPage+"{$}", endpoint.Policy{Auth: endpoint.None, Class: classRead},
			func(w http.ResponseWriter, _ *http.Request, _ endpoint.Caller) error {
				return p.write(w, http.StatusOK, "Log in to "+string(s.Name), form)
			}),
	}
}

// loginPage is where the page is.
const loginPage = "/_matrix/static/client/login/"

// providerLinks lead to identity providers, and back here; the script says whither.
func (s *Server) providerLinks() (links markup) {
	if s.SSO == nil {
		return ""
	}
	for _, p := range s.SSO.Providers() {
		links += providerLink.fill(escaped(p.ID), escaped(p.Name))
	}
	return links
}

const providerLink markup = `<p><a class="button" data-provider="{}">{}</a></p>` + "\n"

const loginForm markup = `<p class="error" id="error" hidden></p>
<p id="done" hidden>You are logged in. You can go back to your client.</p>
<form id="login">
<label>Username or mail address <input name="user" required autofocus autocomplete="username"></label>
<label>Password <input name="password" type="password" required autocomplete="current-password"></label>
<button>Log in</button>
</form>
{}<noscript><p class="error">This page needs JavaScript.</p></noscript>`

// loginScript logs in, with the parameters of the page that are no credentials,
// and gives the answer to the client.
//
//go:embed login.js
var loginScript markup
