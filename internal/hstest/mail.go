package hstest

import (
	"parley/internal/config"
	"parley/internal/mail/mailtest"
)

// Postbox takes the mail of servers whose settings have [Mail] with its name.
func (w *World) Postbox(host string) *mailtest.Box {
	return mailtest.Serve(w, w.Net.Listen(host+":25"), mailtest.Options{})
}

// Mail has a server send mail to a box.
func Mail(host string) func(*config.Config) {
	return func(c *config.Config) {
		c.Mail = config.Mail{Server: host + ":25", TLS: config.MailNoTLS, From: "parley@" + string(c.ServerName), Timeout: c.Mail.Timeout}
	}
}
