package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// An Interaction is a request that the user has to confirm.
type Interaction struct {
	// Operation names what is to be done, with all that the body does not say. A
	// session is good for one operation.
	Operation string
	// User is who wants it; empty if there is no account yet, or if the password
	// is to tell who it is.
	User id.UserID
	// Flows are the ways to confirm it, one at least.
	Flows []Flow
	// Terms are the policies to be accepted, if that is a stage of a flow.
	Terms Terms
	// Page returns the URL of where the user confirms it, if StageOAuth is in a flow.
	Page func(session string) string
	// Body is that of the request.
	Body canonjson.Value
	// Secret names the member of the body that holds a new password. It is
	// checked against the policy before anything else, and is remembered as its
	// hash only.
	Secret string
}

// Confirmed is an interaction that came to its end.
type Confirmed struct {
	// User is who confirmed it, if it was a user.
	User id.UserID
	// Body is that of the request, without auth and the new password, and with
	// what only the first request of the session had.
	Body canonjson.Value
	// Password is the new password, empty if there is none.
	Password Hash
	// Token is the registration token that was shown, empty if none was. It is
	// not used up.
	Token string
	// Accepted is which policies were accepted, for [NewAccount].
	Accepted string
	// Proofs are the validations of addresses that were shown, for [NewAccount]
	// and [Accounts.UseProofs]. They are not used up.
	Proofs []string
}

const (
	// sessionLength is the age at which a session ends.
	sessionLength = 30 * time.Minute
	// maxInteraction is how large a request can be, since it may have to be
	// remembered for somebody of whom nothing is known.
	maxInteraction = 64 << 10
)

// interaction is the row of a session.
type interaction struct {
	id        string
	operation string
	user      id.UserID
	request   canonjson.Value
	password  Hash
	flows     []Flow
	completed []Stage
	token     string
	proofs    []string
	terms     string // the policies that were shown, see Terms.Versions
	stored    bool
}

// Interact lets a user confirm a request. As long as something is left to be
// done for that, the error is the answer that says so. Once everything is done
// the session ends, whatever becomes of the request then.
func (a *Accounts) Interact(ctx context.Context, i Interaction) (Confirmed, error) {
	if len(i.Body) > maxInteraction {
		return Confirmed{}, mxerr.New(mxerr.TooLarge, "The request has more than %d bytes", maxInteraction)
	}
	request, try, err := readAttempt(i.Body)
	if err != nil {
		return Confirmed{}, err
	}
	s, err := a.begin(ctx, i, request)
	if err != nil {
		return Confirmed{}, err
	}
	if try == nil {
		return Confirmed{}, a.challenge(ctx, i, s, nil)
	}
	if try.session != "" {
		old, err := a.resume(ctx, i, try.session)
		if errors.Is(err, store.ErrNoRows) {
			return Confirmed{}, a.challenge(ctx, i, s, mxerr.New(mxerr.Unknown, "The session is not known, or has expired"))
		}
		if err != nil {
			return Confirmed{}, err
		}
		if old.outdated(s) {
			return Confirmed{}, a.presentAgain(ctx, i, old, s.terms)
		}
		if s, err = old.with(s); err != nil {
			return Confirmed{}, err
		}
	}
	return a.goOn(ctx, i, s, try)
}

// goOn lets a client do a stage, if it wants to, and ends the session or says
// what is left.
func (a *Accounts) goOn(ctx context.Context, i Interaction, s *interaction, t *attempt) (Confirmed, error) {
	before := len(s.completed)
	// A stage that was completed is not tried again.
	if t.stage != "" && !slices.Contains(s.completed, t.stage) {
		err := a.try(ctx, s, t)
		if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) && triableAgain(refusal) {
			return Confirmed{}, a.challenge(ctx, i, s, refusal)
		}
		if err != nil {
			return Confirmed{}, err
		}
	}
	done := flows(i.Flows).done(s.completed)
	var err error
	switch {
	case done && s.stored:
		err = a.end(ctx, s)
	case !done && s.stored && len(s.completed) > before:
		err = a.advance(ctx, s, before)
	}
	if err != nil {
		return Confirmed{}, err
	}
	if !done {
		return Confirmed{}, a.challenge(ctx, i, s, nil)
	}
	c := Confirmed{User: s.user, Body: s.request, Password: s.password, Token: s.token, Proofs: s.proofs}
	if slices.Contains(s.completed, StageTerms) {
		c.Accepted = s.terms
	}
	return c, nil
}

// outdated reports whether other policies are to be accepted by now than those
// that the session has shown.
func (s *interaction) outdated(now *interaction) bool {
	return s.terms != now.terms && !slices.Contains(s.completed, StageTerms)
}

// presentAgain shows the policies that are to be accepted now. It is not known
// which ones the user would accept with the present request.
func (a *Accounts) presentAgain(ctx context.Context, i Interaction, s *interaction, terms string) error {
	s.terms = terms
	if err := a.advance(ctx, s, len(s.completed)); err != nil {
		return err
	}
	return a.challenge(ctx, i, s, mxerr.New(mxerr.Forbidden, "The policies have changed: accept them as they are now"))
}

// triableAgain reports whether another attempt could succeed after a refusal.
func triableAgain(refusal *mxerr.Error) bool {
	return refusal.Code != mxerr.UserLocked && refusal.Code != mxerr.UserDeactivated
}

// begin makes a session of a request, which is not stored yet. The new password
// is hashed only where the hash is needed.
func (a *Accounts) begin(ctx context.Context, i Interaction, request canonjson.Value) (*interaction, error) {
	s := &interaction{id: rand.Text(), operation: i.Operation, user: i.User, request: request, flows: i.Flows, terms: i.Terms.Versions()}
	if i.Secret == "" {
		return s, nil
	}
	password, err := text(request, i.Secret)
	if err != nil {
		return nil, err
	}
	s.request = request.Without(i.Secret)
	s.password, err = a.HashPassword(ctx, password)
	return s, err
}

// with returns a session with what the present request says anew.
func (s *interaction) with(now *interaction) (_ *interaction, err error) {
	if s.request, err = merge(s.request, now.request); err != nil {
		return nil, fmt.Errorf("merging the requests of an authentication session: %w", err)
	}
	s.flows = now.flows
	if now.password != "" {
		s.password = now.password
	}
	return s, nil
}

// challenge stores the session, if it is not, and returns what the client has to
// be told.
func (a *Accounts) challenge(ctx context.Context, i Interaction, s *interaction, refusal *mxerr.Error) error {
	if !s.stored {
		if err := a.storeInteraction(ctx, s); err != nil {
			return err
		}
	}
	return flows(i.Flows).challenge(s.id, s.completed, i, refusal)
}

// try lets a client do a stage. A refusal is one that it may try again after.
func (a *Accounts) try(ctx context.Context, s *interaction, t *attempt) error {
	if !flows(s.flows).next(s.completed, t.stage) {
		return mxerr.New(mxerr.Forbidden, "This stage is not the next one of any flow")
	}
	switch t.stage {
	case StageDummy, StageTerms:
	case StagePassword:
		user, err := a.provePassword(ctx, s.user, t.auth)
		if err != nil {
			return err
		}
		s.user = user
	case StageRegistrationToken:
		token, err := a.proveToken(ctx, t.auth)
		if err != nil {
			return err
		}
		s.token = token
	case StageOAuth:
		return mxerr.New(mxerr.Forbidden, "This is confirmed on the page, and then the session alone is sent")
	case StageEmail, StageMSISDN:
		if err := a.proveAddress(ctx, s, t); err != nil {
			return err
		}
	case StageSSO:
		return mxerr.New(mxerr.Forbidden, "This is done on a page of the identity provider")
	default:
		return fmt.Errorf("nobody knows how to do stage %s", t.stage)
	}
	s.completed = append(s.completed, t.stage)
	return nil
}

// provePassword returns whose password was given. It must be the user, if it is
// known who that is.
func (a *Accounts) provePassword(ctx context.Context, user id.UserID, auth canonjson.Value) (id.UserID, error) {
	password, err := text(auth, "password")
	if err != nil {
		return "", err
	}
	who, err := a.Identified(ctx, auth)
	if err != nil {
		return "", err
	}
	if who == "" {
		who = user
	}
	info, err := a.CheckPassword(ctx, who, password)
	switch {
	case err != nil:
		return "", err
	case user != "" && info.UserID != user:
		return "", mxerr.New(mxerr.Forbidden, "This is the password of another user")
	}
	return info.UserID, nil
}

func (a *Accounts) proveToken(ctx context.Context, auth canonjson.Value) (string, error) {
	token, err := text(auth, "token")
	if err != nil {
		return "", err
	}
	ok, err := a.RegistrationTokenGood(ctx, token)
	if err == nil && !ok {
		err = badRegistrationToken()
	}
	return token, err
}
