package server

import (
	"fmt"

	"parley/internal/config"
	"parley/internal/mail"
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
		From: c.Mail.From, Timeout: c.Mail.Timeout, Dial: n.Mail,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the settings of mail: %w", err)
	}
	return s, nil
}
