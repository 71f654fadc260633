package account

import (
	"context"
	"errors"
	"slices"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A StageState is how far a stage of a session is, for the page on which a user
// does it whose client does not know how to.
type StageState struct {
	// Done says that it is completed. Otherwise it is the next of some flow.
	Done bool
	// User is who has to do it, empty if that is not known.
	User id.UserID
	// Operation is what the session is for, see [Interaction].
	Operation string
}

// Stage returns the state of a stage. It refuses with [mxerr.NotFound] if there is
// no such session, or the stage is not one that can be done in it now.
func (a *Accounts) Stage(ctx context.Context, session string, stage Stage) (StageState, error) {
	s, err := a.stageOf(ctx, session, stage)
	if err != nil {
		return StageState{}, err
	}
	return StageState{slices.Contains(s.completed, stage), s.user, s.operation}, nil
}

// DoStage does a stage with what a user has filled in, which is as in the member
// auth of a request. The client goes on with the session alone. Terms are those
// that the user saw. The refusals are those of [Accounts.Stage], and that of the
// stage, after which the user may try again.
func (a *Accounts) DoStage(ctx context.Context, session string, stage Stage, auth canonjson.Value, terms Terms) error {
	s, err := a.stageOf(ctx, session, stage)
	if err != nil || slices.Contains(s.completed, stage) {
		return err
	}
	before := len(s.completed)
	if stage == StageTerms {
		s.terms = terms.Versions()
	}
	if err := a.try(ctx, s, &attempt{session, stage, auth}); err != nil {
		return err
	}
	return a.advance(ctx, s, before)
}

// ConfirmByOAuth does StageOAuth in a session of a user, who has confirmed on the page of
// the account what the session is about. It refuses with [mxerr.NotFound] as
// [Accounts.Stage] does, and if the session is another user's.
func (a *Accounts) ConfirmByOAuth(ctx context.Context, session string, user id.UserID) error {
	s, err := a.stageOf(ctx, session, StageOAuth)
	if err == nil && s.user != user {
		err = mxerr.New(mxerr.NotFound, "There is no such session, or no longer")
	}
	if err != nil {
		return err
	}
	return a.doneApart(ctx, s, StageOAuth)
}

// DoneElsewhere does the stage [StageSSO] of a session, for a user who has shown to
// an identity provider who they are. The refusals are those of [Accounts.Stage], and
// [mxerr.Forbidden] if the session is another user's.
func (a *Accounts) DoneElsewhere(ctx context.Context, session string, user id.UserID) error {
	s, err := a.stageOf(ctx, session, StageSSO)
	if err != nil {
		return err
	}
	if user == "" || s.user != user {
		return mxerr.New(mxerr.Forbidden, "You are not logged in at the identity provider as who is asked to confirm this")
	}
	return a.doneApart(ctx, s, StageSSO)
}

// doneApart notes that a stage was done that a client cannot do.
func (a *Accounts) doneApart(ctx context.Context, s *interaction, stage Stage) error {
	if slices.Contains(s.completed, stage) {
		return nil
	}
	before := len(s.completed)
	s.completed = append(s.completed, stage)
	return a.advance(ctx, s, before)
}

func (a *Accounts) stageOf(ctx context.Context, session string, stage Stage) (*interaction, error) {
	gone := mxerr.New(mxerr.NotFound, "There is no such session, or no longer")
	if !id.IsOpaque(session) {
		return nil, gone
	}
	s, err := a.readInteraction(ctx, session)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil, gone
	case err != nil:
		return nil, err
	case !slices.Contains(s.completed, stage) && !flows(s.flows).next(s.completed, stage):
		return nil, mxerr.New(mxerr.NotFound, "This is not what is to be done next")
	}
	return s, nil
}
