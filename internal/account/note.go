package account

import (
	"parley/internal/mail"
	"parley/matrix/id"
)

// A note is what somebody gets who has an address with which something is to be
// done.
type note struct {
	server    id.ServerName
	operation string
	user      id.UserID // who has the address in this server; empty: nobody
	token     string    // empty: it is not to be done
}

// why says what somebody wants to do.
func (n note) why() string {
	switch n.operation {
	case ToRegister:
		return "Somebody, you we hope, wants to make an account on " + string(n.server) + " with this address."
	case ToReset:
		return "Somebody, you we hope, wants a new password for the account on " + string(n.server) + " that has this address."
	}
	return "Somebody, you we hope, wants to add this address to an account on " + string(n.server) + "."
}

// hindrance says why it is not to be done.
func (n note) hindrance() string {
	if n.user == "" {
		return "There is no account with this address. You may have used another one."
	}
	return "It belongs to the account " + string(n.user) + " already. If you have forgotten its password, have a new one made where you log in."
}

// button is what leads to the page.
func (n note) button() string {
	switch n.operation {
	case ToRegister:
		return "Make the account"
	case ToReset:
		return "Set a new password"
	}
	return "Add this address"
}

const ignore = "If that was not you, do nothing, and nothing will happen."

// letter is the note as mail.
func (n note) letter(to mail.Address, page string) mail.Letter {
	l := mail.Letter{To: to, Subject: n.subject(), Body: []mail.Part{mail.Paragraph(n.why())}}
	if n.token == "" {
		l.Body = append(l.Body, mail.Paragraph(n.hindrance()))
	} else {
		l.Body = append(l.Body, mail.Link{Label: n.button(), Address: page}, mail.Paragraph("The link is good for an hour."))
	}
	l.Body = append(l.Body, mail.Paragraph(ignore), mail.Small("This is an automatic message from "+string(n.server)+"."))
	return l
}

func (n note) subject() string {
	switch n.operation {
	case ToRegister:
		return "Your account on " + string(n.server)
	case ToReset:
		return "Your password on " + string(n.server)
	}
	return "Your address on " + string(n.server)
}

// text is the note as a short message.
func (n note) text() string {
	if n.token == "" {
		return n.why() + " " + n.hindrance()
	}
	return n.token + " is your code for " + string(n.server) + ". " + n.why() + " Tell nobody else."
}
