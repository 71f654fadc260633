package csapi

import (
	"crypto/rand"
	"net/http"
	"strings"

	"parley/internal/account"
	"parley/matrix/canonjson"
)

// A sentProof is what was sent to an address that somebody shows to be theirs on a
// page. The page keeps it in its form, as a client would.
type sentProof struct{ to, sid, secret string }

const (
	emailField markup = `<label>Mail address <input name="address" type="email" required autofocus autocomplete="email"></label>
`
	phoneField markup = `<label>Telephone number, with + and the code of the country
<input name="address" type="tel" required autofocus autocomplete="tel"></label>
`
	sentFields markup = `<input type="hidden" name="address" value="{}"><input type="hidden" name="sid" value="{}"><input type="hidden" name="secret" value="{}">
`
	emailSent markup = `<p>A mail was sent to {}. Follow the link in it, and then go on here.</p>
`
	codeField markup = `<label>The code that was sent to {}
<input name="code" required autofocus autocomplete="one-time-code" inputmode="numeric"></label>
`
)

// markup is the fields of the form, and what its button says.
func (p sentProof) markup(stage account.Stage) (fields, button markup) {
	switch {
	case p.sid == "" && stage == account.StageEmail:
		return emailField, "Send a mail"
	case p.sid == "":
		return phoneField, "Send a code"
	case stage == account.StageEmail:
		fields = emailSent
	default:
		fields = codeField
	}
	return fields.fill(escaped(p.to)) + sentFields.fill(escaped(p.to), escaped(p.sid), escaped(p.secret)), "Continue"
}

// proof is what a form of an address says: at first an address, to which something is
// sent, and then that it has come. It is ready for the stage if it is that.
func (f *fallback) proof(r *http.Request, stage account.Stage, session string) (auth canonjson.Value, sent sentProof, ready bool, err error) {
	field := func(name string) string { return strings.ToValidUTF8(r.PostForm.Get(name), "") }
	sent = sentProof{field("address"), field("sid"), field("secret")}
	if sent.sid == "" {
		sent, err = f.sendProof(r, stage, session, sent.to)
		return nil, sent, false, err
	}
	if stage == account.StageMSISDN {
		if _, err := f.accounts.Validate(r.Context(), sent.sid, sent.secret, field("code")); err != nil {
			return nil, sent, false, err
		}
	}
	creds := canonjson.Value("{}").With("sid", canonjson.Text(sent.sid)).With("client_secret", canonjson.Text(sent.secret))
	return canonjson.Value("{}").With("threepid_creds", creds), sent, true, nil
}

func (f *fallback) sendProof(r *http.Request, stage account.Stage, session, to string) (sentProof, error) {
	state, err := f.accounts.Stage(r.Context(), session, stage)
	if err != nil || state.Done {
		return sentProof{}, err
	}
	request := account.ValidationRequest{Operation: state.Operation, Secret: rand.Text(), Attempt: 1}
	if stage == account.StageEmail {
		request.ThreePID, err = account.ParseEmail(to)
	} else {
		request.ThreePID, err = account.ParseNumber("", to)
	}
	if err != nil {
		return sentProof{}, err
	}
	sid, err := f.accounts.RequestValidation(r.Context(), request)
	if err != nil {
		return sentProof{}, err
	}
	return sentProof{to, sid, request.Secret}, nil
}
