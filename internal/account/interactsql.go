package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// storeInteraction stores a new session.
func (a *Accounts) storeInteraction(ctx context.Context, s *interaction) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO auth_sessions (session, operation, user_id, request, password, flows, completed, token, proofs, terms, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			s.id, s.operation, string(s.user), []byte(s.request), string(s.password),
			joinFlows(s.flows), joinStages(s.completed), s.token, strings.Join(s.proofs, " "), s.terms, time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("storing an authentication session: %w", err)
	}
	s.stored = true
	return nil
}

// readInteraction reads a session. The error is ErrNoRows if it has ended or never
// was.
func (a *Accounts) readInteraction(ctx context.Context, session string) (*interaction, error) {
	s := &interaction{id: session, stored: true}
	var request []byte
	var flows, completed, proofs string
	err := a.db.View(ctx, func(tx *store.Tx) error {
		return tx.Row(`
			SELECT operation, user_id, request, password, flows, completed, token, proofs, terms FROM auth_sessions
			WHERE session = $1 AND created > $2`, session, time.Now().Add(-sessionLength).UnixMilli()).
			Scan(&s.operation, &s.user, &request, &s.password, &flows, &completed, &s.token, &proofs, &s.terms)
	})
	if err != nil {
		return nil, fmt.Errorf("reading an authentication session: %w", err)
	}
	s.request, s.flows, s.completed = canonjson.Value(request), splitFlows(flows), splitStages(completed)
	s.proofs = strings.Fields(proofs)
	return s, nil
}

// resume reads a session for a request. The error is ErrNoRows if it has ended or
// never was, and a refusal if it is about something else.
func (a *Accounts) resume(ctx context.Context, i Interaction, session string) (*interaction, error) {
	s, err := a.readInteraction(ctx, session)
	if err != nil {
		return nil, err
	}
	// Who has no token can have shown who it is.
	sameUser := s.user == i.User || i.User == "" && slices.ContainsFunc(s.completed, Stage.identifies)
	if s.operation != i.Operation || !sameUser {
		return nil, mxerr.New(mxerr.Forbidden, "The session is for something else")
	}
	return s, nil
}

// advance stores the stages done, unless another request did more meanwhile.
func (a *Accounts) advance(ctx context.Context, s *interaction, before int) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		return changeOne(tx, `
			UPDATE auth_sessions SET completed = $2, token = $3, user_id = $4, terms = $5, proofs = $6 WHERE session = $1 AND completed = $7`,
			s.id, joinStages(s.completed), s.token, string(s.user), s.terms, strings.Join(s.proofs, " "), joinStages(s.completed[:before]))
	})
	return ended(err)
}

// end removes a session. Of several requests that complete it at once, one gets
// through.
func (a *Accounts) end(ctx context.Context, s *interaction) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		return changeOne(tx, "DELETE FROM auth_sessions WHERE session = $1", s.id)
	})
	return ended(err)
}

func ended(err error) error {
	if errors.Is(err, store.ErrNoRows) {
		return mxerr.New(mxerr.Forbidden, "The session was used by another request")
	}
	if err != nil {
		return fmt.Errorf("storing an authentication session: %w", err)
	}
	return nil
}

// forgetInteractions removes sessions that have ended.
func (a *Accounts) forgetInteractions(ctx context.Context) error {
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM auth_sessions WHERE created <= $1", time.Now().Add(-sessionLength).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting old authentication sessions: %w", err)
	}
	return nil
}
