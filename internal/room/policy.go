package room

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"parley/internal/journal"
	"parley/internal/remote"
	"parley/internal/statetrie"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/signing"
)

// A room may name a policy server, which recommends events by signing them. What it
// has not signed is not sent, and what comes without its signature is soft-failed:
// https://spec.matrix.org/v1.19/server-server-api/#policy-servers

const (
	typePolicy = "m.room.policy"
	// policyKey is the ID of the key of every policy server. Servers do not publish
	// it: the room says what it is.
	policyKey id.KeyID = "ed25519:policy_server"
	// policyTime is how long a policy server has to answer. Without an answer there is
	// no signature.
	policyTime = 10 * time.Second
)

// A policy is the policy server that a room names.
type policy struct {
	via id.ServerName
	key ed25519.PublicKey
}

// policyOf reads an m.room.policy event. One that names no server, or no key that
// could have signed anything, is as none.
func policyOf(e *event.Event) *policy {
	if e == nil {
		return nil
	}
	text, _ := e.Content().Get("via").Text()
	via, err := id.ParseServerName(text)
	if err != nil {
		return nil
	}
	text, _ = e.Content().Get("public_keys").Get("ed25519").Text()
	key, err := signing.DecodeBase64(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil
	}
	return &policy{via, key}
}

// signed reports whether the policy server has signed an event.
func (p *policy) signed(v *event.Verifier, e *event.Event) bool {
	return v.VerifyServer(e, p.via, func(server id.ServerName, key id.KeyID) (event.VerifyKey, bool) {
		return event.VerifyKey{Public: p.key, ValidUntil: math.MaxInt64}, server == p.via && key == policyKey
	}) == nil
}

// policyMemo is what a state says of the policy server. Most events do not change
// the state.
type policyMemo struct {
	root   statetrie.Root
	policy *policy
}

// policy returns the policy server of the room by a state of it, nil if it has none
// or nobody of it is in the room. The caller holds mu.
func (r *live) policy(ctx context.Context, root statetrie.Root) (*policy, error) {
	if r.policies == nil || r.policies.root != root {
		state := &snapshot{ctx: ctx, room: r, root: root}
		p := policyOf(state.StateEvent(event.Tuple{Type: typePolicy}))
		if state.fault != nil {
			return nil, state.fault
		}
		r.policies = &policyMemo{root, p}
	}
	p := r.policies.policy
	if p == nil {
		return nil, nil
	}
	all, err := r.engine.serversOf(ctx, r.num)
	if err != nil || all[p.via].joined == 0 {
		return nil, err
	}
	return p, nil
}

// isExempt reports whether policy servers have no say in an event: in who they are.
func isExempt(eventType string, stateKey *string) bool {
	return eventType == typePolicy && stateKey != nil && *stateKey == ""
}

// ErrUnsigned means that the policy server of the room has not signed an event.
var ErrUnsigned = errors.New("the policy server of the room has not signed it")

// unsigned is ErrUnsigned, and says whose signature it takes.
type unsigned struct{ by *policy }

func (unsigned) Error() string        { return ErrUnsigned.Error() }
func (unsigned) Is(target error) bool { return target == ErrUnsigned }

// recommended refuses, with ErrUnsigned, an event that the room's policy server by a
// state has not signed. The caller holds mu.
func (r *live) recommended(ctx context.Context, e *event.Event, root statetrie.Root) error {
	var stateKey *string
	if key, isState := e.StateKey(); isState {
		stateKey = &key
	}
	if isExempt(e.Type(), stateKey) {
		return nil
	}
	p, err := r.policy(ctx, root)
	if err != nil || p == nil || p.signed(r.engine.verifier, e) {
		return err
	}
	return unsigned{p}
}

// unsent is recommended for what is to be made of a draft. The caller holds mu.
func (r *live) unsent(ctx context.Context, d Draft) error {
	if d.unrecommended || isExempt(d.Type, d.StateKey) {
		return nil
	}
	p, err := r.policy(ctx, r.row.root)
	if err != nil || p == nil {
		return err
	}
	return unsigned{p}
}

// endorse has a policy server sign an event. What it answers as a refusal is a
// *remote.Refusal.
func (g *Engine) endorse(ctx context.Context, p *policy, e *event.Event, insist bool) (*event.Event, error) {
	if g.elsewhere == nil {
		return nil, ErrUnsigned
	}
	ctx, cancel := context.WithTimeout(ctx, policyTime)
	defer cancel()
	answer, err := g.elsewhere.Sign(ctx, p.via, e.JSON().Without("unsigned"), insist)
	if err != nil {
		return nil, err
	}
	signature, err := signing.Decode(answer.Get(string(p.via)).Get(string(policyKey)))
	if err != nil {
		return nil, fmt.Errorf("%s answers without a signature: %w", p.via, err)
	}
	signed, err := event.Parse(signing.Attach(e.JSON(), string(p.via), policyKey, signature[:]), e.Rules())
	if err != nil {
		return nil, err
	}
	if !p.signed(g.verifier, signed) {
		return nil, fmt.Errorf("%s signs with another key than that of the room", p.via)
	}
	return signed, nil
}

// receiveAsking is receiveBehindGap for an event that has time: if it lacks the
// signature of the policy server, that is asked for it. It returns the event as it
// was received, too. Without a signature the event is soft-failed, though the server
// may only be down: what it recommends has its signature when it is sent.
func (g *Engine) receiveAsking(ctx context.Context, e *event.Event, behind gap) (Outcome, *event.Event, error) {
	for range attempts {
		outcome, err := g.receiveBehindGap(ctx, e, behind)
		lacks, ok := errors.AsType[unsigned](err)
		if !ok {
			if err == nil && outcome != Known {
				g.adopt(ctx, e.ID())
			}
			return outcome, e, err
		}
		signed, err := g.endorse(ctx, lacks.by, e, false)
		switch {
		case ctx.Err() != nil:
			return 0, e, ctx.Err()
		case err == nil:
			e = signed
		default:
			g.log.Info("the policy server of a room does not recommend an event", "room", e.RoomID(), "event", e.ID(), "server", lacks.by.via, "err", err)
			behind.unrecommended = true
		}
	}
	return 0, e, fmt.Errorf("receiving %s: %w", e.ID(), ErrUnsigned)
}

// sendSigned sends what the policy server of the room is to sign first. While it is
// asked the room goes on: what is sent meanwhile stands beside the event.
func (g *Engine) sendSigned(ctx context.Context, r *live, d Draft, key transactionKey, p *policy) (Sent, error) {
	made, wait, err := r.offer(ctx, d)
	if err != nil {
		if wait != nil {
			if _, failed := wait(); failed != nil {
				err = failed
			}
		}
		return Sent{}, err
	}
	signed, err := g.endorse(ctx, p, made, true)
	if err != nil && ctx.Err() == nil && d.evicts {
		d.unrecommended = true // the others may ask for the signature themselves
		return r.send(ctx, d, key)
	}
	if err != nil {
		return Sent{}, notRecommended(p, err)
	}
	outcome, err := g.receiveBehindGap(ctx, signed, gap{sent: key, along: d.Along})
	switch {
	case err != nil:
		return Sent{}, err
	case outcome == Rejected, outcome == SoftFailed:
		return Sent{}, mxerr.New(mxerr.Forbidden, "The room has changed, and this is not allowed any more")
	}
	return Sent{EventID: signed.ID(), Pos: g.journal.Head()}, nil
}

// signedFor returns an event of ours with the signature of the room's policy server,
// if it takes one.
func (g *Engine) signedFor(ctx context.Context, r *live, e *event.Event) (*event.Event, error) {
	r.mu.Lock()
	lacks, ok := errors.AsType[unsigned](r.recommended(ctx, e, r.row.root))
	r.mu.Unlock()
	if !ok {
		return e, nil // and if it cannot be known, that is found out when it is received
	}
	signed, err := g.endorse(ctx, lacks.by, e, true)
	if err != nil {
		return nil, notRecommended(lacks.by, err)
	}
	return signed, nil
}

// signedHere is signedFor for who holds mu.
func (r *live) signedHere(ctx context.Context, e *event.Event) (*event.Event, error) {
	err := r.recommended(ctx, e, r.row.root)
	lacks, ok := errors.AsType[unsigned](err)
	if !ok {
		return e, err
	}
	signed, err := r.engine.endorse(ctx, lacks.by, e, true)
	if err != nil {
		return nil, notRecommended(lacks.by, err)
	}
	return signed, nil
}

// offer makes an event that is not part of the room yet, with the checks of submit.
// With an error there may be something to wait for before it holds.
func (r *live) offer(ctx context.Context, d Draft) (e *event.Event, wait func() (journal.Position, error), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale {
		return nil, nil, errConflict
	}
	if err := r.expected(ctx, []Draft{d}); err != nil {
		return nil, r.barrier(err), err
	}
	if err := r.mayRelate(ctx, d); err != nil {
		return nil, nil, err
	}
	e, err = r.aside(ctx, d)
	return e, nil, err
}

// notRecommended is what the user is told whose event a policy server does not sign:
// what that server says, but what would end the user's session here.
func notRecommended(p *policy, err error) error {
	refusal, ok := errors.AsType[*remote.Refusal](err)
	if !ok || refusal.Code == "" || refusal.Status < 400 || refusal.Status >= 500 {
		return mxerr.New(mxerr.Forbidden, "The policy server of the room, %s, could not be asked", p.via).Wrap(err)
	}
	switch refusal.Code {
	case mxerr.UnknownToken, mxerr.MissingToken, mxerr.UserLocked, mxerr.Unauthorized:
		return mxerr.New(mxerr.Forbidden, "%s", refusal.Message).Wrap(err)
	}
	status := refusal.Status
	if status == http.StatusUnauthorized {
		status = http.StatusForbidden
	}
	told := mxerr.New(refusal.Code, "%s", refusal.Message).WithStatus(status).Wrap(err)
	for name, value := range refusal.Body.Members() {
		told = told.With(name.String(), value)
	}
	return told
}
