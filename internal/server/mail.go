package server

import (
	"context"
	"fmt"

	"parley/internal/account"
	"parley/internal/config"
	"parley/internal/csapi"
	"parley/internal/mail"
	"parley/internal/sms"
	"parley/matrix/glob"
	"parley/matrix/id"
)

// postman returns what sends mail, nil if there is no mail server. It is that of
// the operator, and may be anywhere.
func (n Network) postman(c config.Config) (*mail.Sender, error) {
	if c.Mail.Server == "" {
		return nil, nil
	}
	security := map[config.MailTLS]mail.Security{
		config.MailStartTLS: mail.StartTLS, config.MailTLSAtOnce: mail.TLS, config.MailNoTLS: mail.None,
	}
	s, err := mail.New(mail.Options{
		Server: c.Mail.Server, Security: security[c.Mail.TLS], User: c.Mail.User, Password: string(c.Mail.Password),
		From: c.Mail.From, Timeout: c.Mail.Timeout, Dial: n.Own,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the settings of mail: %w", err)
	}
	return s, nil
}

// messages is how people are told what shows that an address is theirs.
func (p *parts) messages(c config.Config, n Network) (account.Messages, error) {
	var err error
	if p.mail, err = n.postman(c); err != nil {
		return account.Messages{}, err
	}
	m := account.Messages{
		Page:   func(sid, token string) string { return publicURL(c) + csapi.ValidationPage(sid, token) },
		Allows: allowed(c.Addresses),
	}
	if p.mail != nil {
		m.Email = p.mail.Send
	}
	if c.SMS.URL != "" {
		p.sms = sms.New(sms.Options{URL: c.SMS.URL, Token: string(c.SMS.Token), Dial: n.Own})
		m.SMS = p.sms.Send
	}
	return m, nil
}

// allowed reports which addresses accounts may have.
func allowed(a config.Addresses) func(account.ThreePID) bool {
	compile := func(list []string) (patterns []*glob.Pattern) {
		for _, p := range list {
			patterns = append(patterns, glob.Compile(p))
		}
		return patterns
	}
	of := map[account.Medium][]*glob.Pattern{account.Email: compile(a.Emails.List()), account.MSISDN: compile(a.Numbers.List())}
	return func(t account.ThreePID) bool {
		folded := glob.Fold(nil, []byte(t.Address))
		for _, p := range of[t.Medium] {
			if p.Match(folded) {
				return true
			}
		}
		return len(of[t.Medium]) == 0
	}
}

// unbind has identity servers forget a user who is deactivated, as far as they do
// so: an address is bound to a user that there is no longer, which does no harm.
func (p *parts) unbind(ctx context.Context, user id.UserID) error {
	bindings, err := p.accounts.Bindings(ctx, user)
	if err != nil {
		return err
	}
	for _, b := range bindings {
		_, err := p.identity.Unbind(ctx, b.Server, user, string(b.Medium), b.Address)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			p.log.InfoContext(ctx, "an identity server goes on to name a deactivated user", "user", user, "server", b.Server, "err", err)
		}
		if err := p.accounts.ForgetBinding(ctx, user, b); err != nil {
			return err
		}
	}
	return nil
}
