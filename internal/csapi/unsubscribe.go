package csapi

import (
	"net/http"
	"net/url"

	"parley/internal/endpoint"
	"parley/internal/push"
)

// unsubscribePath is where letters about unread messages are stopped, without logging
// in.
const unsubscribePath = "/_matrix/client/unstable/org.parley/unsubscribe"

// UnsubscribePage returns the path of the page on which letters are stopped, by the
// ticket in them.
func UnsubscribePage(ticket string) string {
	return unsubscribePath + "?" + url.Values{"ticket": {ticket}}.Encode()
}

func (s *Server) unsubscribeRoutes() []endpoint.Route {
	policy := endpoint.Policy{Auth: endpoint.None, Class: classAuth, BodyLimit: 8 << 10}
	u := unsubscribePages{s.Pushers, newPage("", "")}
	return []endpoint.Route{
		endpoint.Stream("GET "+unsubscribePath, policy, u.show),
		endpoint.Stream("POST "+unsubscribePath, policy, u.confirm),
	}
}

// unsubscribePages are what people see who follow the link in a letter. Nothing is done
// before they press a button, there or in their mail program, which then does what the
// form does: https://www.rfc-editor.org/rfc/rfc8058
type unsubscribePages struct {
	pushers *push.Pushers
	page    page
}

const (
	unsubscribeForm markup = `<p>No more mail to {} about messages that {} has not read?</p>
<form method="post" action="?{}">
<button>No more mail</button>
</form>`
	unsubscribed markup = `<p>There will be no more mail about unread messages.</p>`
)

func (u unsubscribePages) show(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	ticket := r.URL.Query().Get("ticket")
	p, err := u.pushers.Ticket(r.Context(), ticket)
	if err != nil {
		return u.refuse(w, err)
	}
	again := escaped(url.Values{"ticket": {ticket}}.Encode())
	return u.page.write(w, http.StatusOK, "Unread messages", unsubscribeForm.fill(escaped(p.Key), escaped(string(p.User)), again))
}

func (u unsubscribePages) confirm(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	err := u.pushers.Unsubscribe(r.Context(), r.URL.Query().Get("ticket"))
	if err != nil {
		return u.refuse(w, err)
	}
	return u.page.write(w, http.StatusOK, "Done", unsubscribed)
}

// refuse says that a ticket is not good any more, as it is not when it was used.
func (u unsubscribePages) refuse(w http.ResponseWriter, err error) error {
	return u.page.refuse(w, err, "There is no mail that this link could stop. Perhaps it was used before.")
}
