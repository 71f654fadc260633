package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"

	"parley/internal/errand"
	"parley/internal/mail"
	"parley/internal/sms"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The operations that an address can be validated for. To register and to reset a
// password it is shown in user-interactive authentication of an [Interaction] with
// that operation.
const (
	ToRegister = "POST /register"
	ToReset    = "POST /account/password"
	ToAdd      = "POST /account/3pid/add"
)

// Messages is how people are told what shows that an address is theirs.
type Messages struct {
	// Email and SMS send; nil: there are no addresses of that medium. An error that
	// is [mail.ErrRefused] or [sms.ErrRefused] means that it is of no use to try
	// again.
	Email func(ctx context.Context, l mail.Letter) error
	SMS   func(ctx context.Context, number, text string) error
	// Page is the address of the page on which a mail address is confirmed.
	Page func(sid, token string) string
	// Allows reports whether an account may have an address; nil: any.
	Allows func(ThreePID) bool
}

const (
	// validationLife is how long what was sent is good, validatedLife how long it
	// can be made use of once it has come back.
	validationLife = time.Hour
	validatedLife  = 24 * time.Hour
	// maxTries is how many tokens may be tried: that of a telephone has six digits.
	maxTries = 10
	// maxSent is how often something is sent to an address within an hour, whoever
	// asks for it.
	maxSent = 10
)

func (a *Accounts) allows(t ThreePID) bool { return a.messages.Allows == nil || a.messages.Allows(t) }

func notAllowed() error {
	return mxerr.New(mxerr.ThreePIDDenied, "Accounts here cannot have this address")
}

// A ValidationRequest is somebody who wants to show that an address is theirs.
type ValidationRequest struct {
	Operation string
	ThreePID
	Secret  string // client_secret
	Attempt int64  // send_attempt
	// NextLink is where they go on; empty: nowhere. The caller has checked it.
	NextLink string
}

// Supports reports whether there are addresses of a medium.
func (a *Accounts) Supports(m Medium) bool {
	return m == Email && a.messages.Email != nil || m == MSISDN && a.messages.SMS != nil
}

// RequestValidation begins a validation, or goes on with one, and returns its
// session ID. Something is sent in the background unless it was for the same
// attempt before. The answer does not depend on whose address it is: whoever has it
// is told when it is not what is wanted. The refusals are
// [mxerr.ThreePIDMediumNotSupported], [mxerr.ThreePIDDenied],
// [mxerr.InvalidParam] and [mxerr.LimitExceeded].
//
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3registeremailrequesttoken
func (a *Accounts) RequestValidation(ctx context.Context, r ValidationRequest) (sid string, err error) {
	switch {
	case !a.Supports(r.Medium):
		return "", notSupported()
	case !isSessionText(r.Secret):
		return "", mxerr.New(mxerr.InvalidParam, "client_secret is 1 to 255 of 0-9, a-z, A-Z and .=_-")
	case r.Operation != ToReset && !a.allows(r.ThreePID):
		return "", notAllowed()
	}
	due := false
	err = a.db.Update(ctx, func(tx *store.Tx) (err error) {
		sid, due, err = beginValidation(tx, r, newValidationToken(r.Medium), time.Now())
		return err
	})
	if err != nil {
		return "", fmt.Errorf("storing a validation: %w", err)
	}
	if due {
		a.mailings.Add(sid)
	}
	return sid, nil
}

// isSessionText reports whether a text has the form of session IDs and client
// secrets.
func isSessionText(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool {
		return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune(".=_-", r))
	})
}

// newValidationToken makes up what is sent: to be clicked on, or to be typed.
func newValidationToken(m Medium) string {
	if m == Email {
		return rand.Text()
	}
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(err) // never, says crypto/rand
	}
	return fmt.Sprintf("%06d", n)
}

// A Validation is one that is under way.
type Validation struct {
	ThreePID
	Operation string
	NextLink  string
	Done      bool
}

// Validation returns the validation of which somebody has the token, or
// [mxerr.SessionExpired].
func (a *Accounts) Validation(ctx context.Context, sid, token string) (Validation, error) {
	var v validation
	err := a.db.View(ctx, func(tx *store.Tx) (err error) {
		if !isSessionText(sid) {
			return store.ErrNoRows
		}
		v, err = readValidation(tx, sid, time.Now())
		return err
	})
	switch {
	case err == nil && !v.is(token) || errors.Is(err, store.ErrNoRows):
		return Validation{}, validationExpired()
	case err != nil:
		return Validation{}, fmt.Errorf("reading a validation: %w", err)
	}
	return v.public(), nil
}

// Validate ends a validation with the token that was sent, by a client that knows
// its own secret; where the secret is empty, by who has opened the page. It may be
// done again. The refusals are [mxerr.SessionExpired] and [mxerr.TokenIncorrect].
//
// https://spec.matrix.org/v1.19/identity-service-api/#post_matrixidentityv2validatemsisdnsubmittoken
func (a *Accounts) Validate(ctx context.Context, sid, secret, token string) (Validation, error) {
	if !isSessionText(sid) || secret != "" && !isSessionText(secret) {
		return Validation{}, mxerr.New(mxerr.InvalidParam, "sid and client_secret are 1 to 255 of 0-9, a-z, A-Z and .=_-")
	}
	var v validation
	var right bool
	err := a.db.Update(ctx, func(tx *store.Tx) (err error) {
		now := time.Now()
		if v, err = tryValidation(tx, sid, now); err != nil {
			return err
		}
		right = v.tries <= maxTries && v.is(token) && (secret == "" || v.secretIs(secret))
		if !right || !v.validated.IsZero() {
			return nil
		}
		return markValidated(tx, sid, now)
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return Validation{}, validationExpired()
	case err != nil:
		return Validation{}, fmt.Errorf("ending a validation: %w", err)
	case !right:
		return Validation{}, mxerr.New(mxerr.TokenIncorrect, "This is not what was sent, or too much was tried")
	}
	v.validated = time.Now()
	return v.public(), nil
}

func validationExpired() error {
	return mxerr.New(mxerr.SessionExpired, "The validation is not known, or no longer: begin it again")
}

// A Proof is what a client has that has validated an address.
type Proof struct {
	SID    string `json:"sid"`
	Secret string `json:"client_secret"`
}

// CheckProof refuses a proof that is none for [ToAdd], with [mxerr.ThreePIDAuthFailed].
func (a *Accounts) CheckProof(ctx context.Context, p Proof) error {
	err := a.db.View(ctx, func(tx *store.Tx) error {
		_, err := p.read(tx, ToAdd)
		return err
	})
	if err != nil {
		return fmt.Errorf("checking the validation of an address: %w", err)
	}
	return nil
}

// read returns the validation that a proof is of.
func (p Proof) read(tx *store.Tx, operation string) (v validation, err error) {
	if isSessionText(p.SID) {
		v, err = readValidation(tx, p.SID, time.Now())
	}
	switch {
	case err != nil && !errors.Is(err, store.ErrNoRows):
		return v, err
	case v.sid == "" || v.operation != operation || v.validated.IsZero() || !v.secretIs(p.Secret):
		return v, notValidated()
	}
	return v, nil
}

func notValidated() error {
	// 403 is for when an identity server says so.
	return mxerr.New(mxerr.ThreePIDAuthFailed, "The address was not validated, or not for this").WithStatus(http.StatusBadRequest)
}

// UseProofs ends the validations by which somebody has shown who they are, which
// [Confirmed] has, so that they cannot be used again. The refusal is [mxerr.ThreePIDAuthFailed].
func (a *Accounts) UseProofs(ctx context.Context, sids []string) error {
	if len(sids) == 0 {
		return nil
	}
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		for _, sid := range sids {
			if _, err := useValidation(tx, ToReset, sid); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("using the validation of an address: %w", err)
	}
	return nil
}

// notify sends what is due, in the background.
func (a *Accounts) notify(ctx context.Context) {
	a.mailings.Run(ctx, errand.Work[string]{
		What: "sending a message about an address", Recall: a.dueValidations, Do: a.sendValidation, AtOnce: 4, Log: a.log,
		Usual: func(err error) bool { return errors.Is(err, errUnsent) },
	})
}

// errUnsent is of a message that could not be sent for now, which is no fault of
// this server.
var errUnsent = errors.New("it cannot be sent at present")

// sendValidation sends what is to be sent for a validation, unless it has expired.
func (a *Accounts) sendValidation(ctx context.Context, sid string) error {
	var v validation
	var user id.UserID
	err := a.db.View(ctx, func(tx *store.Tx) (err error) {
		if v, err = readValidation(tx, sid, time.Now()); err != nil {
			return err
		}
		user, err = owner(tx, v.ThreePID)
		if errors.Is(err, store.ErrNoRows) {
			err = nil
		}
		return err
	})
	if errors.Is(err, store.ErrNoRows) || err == nil && !v.due {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a validation: %w", err)
	}
	err = a.send(ctx, v, user)
	if errors.Is(err, mail.ErrRefused) || errors.Is(err, sms.ErrRefused) {
		a.log.InfoContext(ctx, "a message about an address is not sent", "err", err)
	} else if err != nil {
		return fmt.Errorf("%w: %w", errUnsent, err)
	}
	return a.noteSent(ctx, v)
}

// send sends a message to an address, which is that of a user, or of nobody. Only
// what can lead to something has the token.
func (a *Accounts) send(ctx context.Context, v validation, user id.UserID) error {
	n := note{server: a.server, operation: v.operation, user: user}
	if (user != "") == (v.operation == ToReset) {
		n.token = v.token
	}
	switch {
	case v.Medium == Email && a.messages.Email != nil:
		page := ""
		if n.token != "" {
			page = a.messages.Page(v.sid, v.token)
		}
		return a.messages.Email(ctx, n.letter(mail.Address(v.Address), page))
	case v.Medium == MSISDN && a.messages.SMS != nil:
		return a.messages.SMS(ctx, v.Address, n.text())
	}
	return nil // it is supported no longer
}

// is reports whether a token is that of the validation.
func (v validation) is(token string) bool {
	return subtle.ConstantTimeCompare([]byte(v.token), []byte(strings.TrimSpace(token))) == 1
}

func (v validation) secretIs(secret string) bool {
	return subtle.ConstantTimeCompare(v.secret, digestOf(secret).bytes()) == 1
}

func (v validation) public() Validation {
	return Validation{v.ThreePID, v.operation, v.nextLink, !v.validated.IsZero()}
}

// proveAddress lets a client show the validation of an address. To reset a
// password, that shows whose account it is.
func (a *Accounts) proveAddress(ctx context.Context, s *interaction, t *attempt) error {
	creds := t.auth.Get("threepid_creds")
	if creds.Kind() != canonjson.Object {
		return mxerr.New(mxerr.MissingParam, "threepid_creds is missing")
	}
	var p Proof
	var err error
	if p.SID, err = text(creds, "sid"); err != nil {
		return err
	}
	if p.Secret, err = text(creds, "client_secret"); err != nil {
		return err
	}
	var user id.UserID
	var info Info
	err = a.db.View(ctx, func(tx *store.Tx) error {
		v, err := p.read(tx, s.operation)
		if err != nil {
			return err
		}
		if v.Medium == Email != (t.stage == StageEmail) {
			return notValidated()
		}
		if s.operation != ToReset {
			return nil
		}
		if user, err = owner(tx, v.ThreePID); errors.Is(err, store.ErrNoRows) {
			return notValidated()
		} else if err != nil {
			return err
		}
		info, _, err = readAccount(tx, user)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("looking for the validation of an address: %w", err)
	case info.Locked:
		return lockedOut()
	case s.user != "" && user != s.user:
		return mxerr.New(mxerr.Forbidden, "This is the address of another user")
	}
	s.user, s.proofs = user, append(s.proofs, p.SID)
	return nil
}
