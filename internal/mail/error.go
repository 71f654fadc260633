package mail

import (
	"errors"
	"fmt"

	gomail "github.com/wneessen/go-mail"
)

// ErrRefused is of a letter that the server will not take for its recipient,
// however often it is sent.
var ErrRefused = errors.New("the letter is refused")

// failure is what is told of a letter that was not sent. What the server said is
// not repeated, because it says it to the recipient's address.
type failure struct {
	server, domain string
	doing          string
	code           int   // of the server; 0 if it did not answer
	why            error // nil if it could name the recipient
	refused        bool
}

func (f *failure) Error() string {
	text := fmt.Sprintf("sending mail for %s through %s: %s", f.domain, f.server, f.doing)
	switch {
	case f.code != 0:
		return fmt.Sprintf("%s: status %d", text, f.code)
	case f.why != nil:
		return text + ": " + f.why.Error()
	}
	return text
}

func (f *failure) Unwrap() error { return f.why }

func (f *failure) Is(target error) bool { return f.refused && target == ErrRefused }

func (s *Sender) failure(to Address, doing string, why error) *failure {
	return &failure{server: s.options.Server, domain: to.Domain(), doing: doing, why: why}
}

// failed says what went wrong, by an error of the library.
func (s *Sender) failed(to Address, err error) error {
	f := s.failure(to, "connecting", err)
	var sending *gomail.SendError
	if errors.As(err, &sending) {
		f.doing, f.code, f.why = sending.Reason.String(), sending.ErrorCode(), nil
		if f.code == 0 {
			f.doing += ": the connection failed"
		}
		switch sending.Reason {
		case gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose:
			f.refused = f.code >= 500
		}
	}
	return f
}
