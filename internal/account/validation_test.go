package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/mail"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/mxerr"
)

// outbox keeps what is sent.
type outbox struct {
	mu   sync.Mutex
	sent []string // "address: " and the link, the code, or a part of what else it says
	fail error
}

func (o *outbox) put(to, text string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return o.fail
	}
	o.sent = append(o.sent, to+": "+text)
	return nil
}

// fails has what is sent fail from now on, nil: no more.
func (o *outbox) fails(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = err
}

// take returns what was sent since the last time.
func (o *outbox) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	sent := o.sent
	o.sent = nil
	return sent
}

func (o *outbox) messages() Messages {
	return Messages{
		Email: func(_ context.Context, l mail.Letter) error {
			for _, p := range l.Body {
				if link, ok := p.(mail.Link); ok {
					return o.put(string(l.To), link.Address)
				}
			}
			return o.put(string(l.To), fmt.Sprint(l.Body[1]))
		},
		SMS:    func(_ context.Context, number, text string) error { return o.put(number, text) },
		Page:   func(sid, token string) string { return sid + " " + token },
		Allows: func(t ThreePID) bool { return !strings.HasSuffix(t.Address, "@evil.test") },
	}
}

// playMail plays a scene in a bubble, with what is sent in the background.
func playMail(t *testing.T, f func(h house, o *outbox)) {
	synctest.Test(t, func(t *testing.T) {
		o := &outbox{}
		h := open(t, storetest.Open(t, t.TempDir()+"/parley.db"), Options{Messages: o.messages()})
		run, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { h.notify(run) })
		f(h, o)
		stop()
		running.Wait()
	})
}

// ask requests a validation, and returns its session and what is sent for it.
func (h house) ask(o *outbox, operation string, t ThreePID, secret string, attempt int64) (sid string, sent []string) {
	h.t.Helper()
	sid, err := h.RequestValidation(ctx, ValidationRequest{Operation: operation, ThreePID: t, Secret: secret, Attempt: attempt})
	if err != nil {
		h.t.Fatal(err)
	}
	synctest.Wait()
	return sid, o.take()
}

// token is that of a link that was sent.
func token(h house, sent []string) string {
	h.t.Helper()
	if len(sent) != 1 {
		h.t.Fatalf("sent are %q", sent)
	}
	fields := strings.Fields(sent[0])
	return fields[len(fields)-1]
}

func TestAnAddressIsValidatedByWhoHasIt(t *testing.T) {
	playMail(t, func(h house, o *outbox) {
		h.create(alice)
		to := email("alice@example.org")
		sid, sent := h.ask(o, ToAdd, to, "s3cret", 1)
		link := token(h, sent)
		if want := "alice@example.org: " + sid + " " + link; sent[0] != want {
			t.Errorf("sent is %s, want %s", sent, want)
		}
		p := Proof{sid, "s3cret"}
		if err := h.AddContact(ctx, alice, p); !errors.Is(err, mxerr.ThreePIDAuthFailed) {
			t.Errorf("before: got %v", err)
		}
		if v, err := h.Validation(ctx, sid, link); err != nil || v.Done || v.Address != to.Address || v.Operation != ToAdd {
			t.Errorf("got %+v, %v", v, err)
		}
		for _, wrong := range []struct {
			sid, secret, token string
			code               mxerr.Code
		}{
			{sid, "", "x", mxerr.TokenIncorrect},
			{sid, "other", link, mxerr.TokenIncorrect},
			{"x", "", link, mxerr.SessionExpired},
			{"", "", link, mxerr.InvalidParam},
			{sid + "\x00", "", link, mxerr.InvalidParam},
			{sid, "a b", link, mxerr.InvalidParam},
		} {
			if _, err := h.Validate(ctx, wrong.sid, wrong.secret, wrong.token); !errors.Is(err, wrong.code) {
				t.Errorf("%+v: got %v", wrong, err)
			}
		}
		for range 2 {
			if v, err := h.Validate(ctx, sid, "", link); err != nil || !v.Done {
				t.Errorf("got %+v, %v", v, err)
			}
		}
		for _, wrong := range []Proof{{sid, "other"}, {sid, ""}, {"x", "s3cret"}, {}} {
			if err := h.CheckProof(ctx, wrong); !errors.Is(err, mxerr.ThreePIDAuthFailed) {
				t.Errorf("%+v: got %v", wrong, err)
			}
		}
		h.must(h.CheckProof(ctx, p))
		if same, sent := h.ask(o, ToAdd, to, "s3cret", 2); same != sid || len(sent) != 0 {
			t.Errorf("got %s, sent %q, though it was validated", same, sent)
		}
		h.must(h.AddContact(ctx, alice, p))
		if got := h.contacts(alice); got != "email alice@example.org" {
			t.Errorf("got %s", got)
		}
		if err := h.AddContact(ctx, alice, p); !errors.Is(err, mxerr.ThreePIDAuthFailed) {
			t.Errorf("once more: got %v", err)
		}
	})
}

func TestSomethingIsSentOnceForAnAttempt(t *testing.T) {
	playMail(t, func(h house, o *outbox) {
		to := email("alice@example.org")
		sid, first := h.ask(o, ToRegister, to, "s", 1)
		for _, row := range []struct {
			secret    string
			operation string
			attempt   int64
			same      bool
			sent      int
		}{
			{"s", ToRegister, 1, true, 0},
			{"s", ToRegister, 0, true, 0},
			{"s", ToRegister, 3, true, 1},
			{"s", ToRegister, 2, true, 0},
			{"t", ToRegister, 1, false, 1},
			{"s", ToAdd, 1, false, 1},
		} {
			got, sent := h.ask(o, row.operation, to, row.secret, row.attempt)
			if (got == sid) != row.same || len(sent) != row.sent {
				t.Errorf("%+v: got %s, sent %q", row, got, sent)
			}
			if row.same && row.sent == 1 && sent[0] != first[0] {
				t.Errorf("sent %q, and before %q", sent, first)
			}
		}
	})
}

func TestNobodyLearnsWhoseAddressItIs(t *testing.T) {
	playMail(t, func(h house, o *outbox) {
		h.create(alice)
		h.must(h.SetContacts(ctx, alice, []ThreePID{email("alice@example.org"), {MSISDN, "447700900001"}}))
		for _, row := range []struct {
			operation string
			to        ThreePID
			says      string // empty: what leads on
		}{
			{ToRegister, email("alice@example.org"), "belongs to the account @alice:a.test"},
			{ToAdd, email("alice@example.org"), "belongs to the account @alice:a.test"},
			{ToReset, email("alice@example.org"), ""},
			{ToRegister, email("bob@example.org"), ""},
			{ToAdd, email("bob@example.org"), ""},
			{ToReset, email("bob@example.org"), "There is no account with this address"},
			{ToReset, ThreePID{MSISDN, "447700900002"}, "There is no account with this address"},
			{ToRegister, ThreePID{MSISDN, "447700900001"}, "belongs to the account @alice:a.test"},
		} {
			sid, sent := h.ask(o, row.operation, row.to, "s", 1)
			if len(sent) != 1 || row.says != "" && (!strings.Contains(sent[0], row.says) || strings.Contains(sent[0], sid)) ||
				row.says == "" && !strings.Contains(sent[0], sid+" ") {
				t.Errorf("%+v: sent %q", row, sent)
			}
		}
	})
}

func TestACodeCannotBeGuessed(t *testing.T) {
	playMail(t, func(h house, o *outbox) {
		sid, sent := h.ask(o, ToAdd, ThreePID{MSISDN, "447700900001"}, "s", 1)
		code, _, _ := strings.Cut(strings.TrimPrefix(sent[0], "447700900001: "), " ")
		if len(code) != 6 || strings.Trim(code, "0123456789") != "" {
			t.Fatalf("sent %q", sent)
		}
		for i := range maxTries {
			if _, err := h.Validate(ctx, sid, "s", "1234567"); !errors.Is(err, mxerr.TokenIncorrect) {
				t.Errorf("%d: got %v", i, err)
			}
		}
		if _, err := h.Validate(ctx, sid, "s", code); !errors.Is(err, mxerr.TokenIncorrect) {
			t.Errorf("got %v, after %d wrong ones", err, maxTries)
		}
		other, sent := h.ask(o, ToAdd, ThreePID{MSISDN, "447700900001"}, "t", 1)
		code, _, _ = strings.Cut(strings.TrimPrefix(sent[0], "447700900001: "), " ")
		if _, err := h.Validate(ctx, other, "t", " "+code+"\n"); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestValidationsExpire(t *testing.T) {
	playMail(t, func(h house, o *outbox) {
		h.create(alice)
		to := email("alice@example.org")
		sid, sent := h.ask(o, ToAdd, to, "s", 1)
		link := token(h, sent)
		time.Sleep(validationLife)
		if _, err := h.Validate(ctx, sid, "", link); !errors.Is(err, mxerr.SessionExpired) {
			t.Errorf("got %v", err)
		}
		again, sent := h.ask(o, ToAdd, to, "s", 1)
		if again == sid {
			t.Error("the session goes on")
		}
		if _, err := h.Validate(ctx, again, "", token(h, sent)); err != nil {
			t.Error(err)
		}
		time.Sleep(validatedLife)
		if err := h.AddContact(ctx, alice, Proof{again, "s"}); !errors.Is(err, mxerr.ThreePIDAuthFailed) {
			t.Errorf("got %v", err)
		}
		h.must(h.forgetValidations(ctx))
		var left int
		h.must(h.db.View(ctx, func(tx *store.Tx) error { return tx.Row("SELECT count(*) FROM validations").Scan(&left) }))
		if left != 0 {
			t.Errorf("%d are left", left)
		}
	})
}

func TestAnAddressGetsOnlySoMuch(t *testing.T) {
	playMail(t, func(h house, o *outbox) {
		to := email("alice@example.org")
		ask := func(i int) error {
			_, err := h.RequestValidation(ctx, ValidationRequest{Operation: ToReset, ThreePID: to, Secret: fmt.Sprintf("s%d", i%3), Attempt: int64(i)})
			return err
		}
		for i := range maxSent {
			h.must(ask(i))
		}
		var refusal *mxerr.Error
		if err := ask(maxSent); !errors.As(err, &refusal) || refusal.Code != mxerr.LimitExceeded || refusal.Fields["retry_after_ms"] == nil {
			t.Errorf("got %v", err)
		}
		if _, sent := h.ask(o, ToReset, email("bob@example.org"), "s", 1); len(sent) == 0 {
			t.Errorf("sent %q", sent)
		}
		time.Sleep(time.Hour)
		h.must(ask(maxSent))
	})
}

func TestWhatCannotBeSentIsSentLater(t *testing.T) {
	playMail(t, func(h house, o *outbox) {
		o.fails(errors.New("the server is down"))
		sid, _ := h.ask(o, ToRegister, email("alice@example.org"), "s", 1)
		synctest.Wait() // until it was tried
		o.fails(nil)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if sent := o.take(); len(sent) != 1 {
			t.Errorf("sent %q", sent)
		}
		// What a crash has left is found when another process starts.
		h.must(h.db.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec("UPDATE validations SET due = $1", true)
			return err
		}))
		if sids, err := h.dueValidations(ctx); err != nil || len(sids) != 1 || sids[0] != sid {
			t.Errorf("got %q, %v", sids, err)
		}
		o.fails(fmt.Errorf("no such address: %w", mail.ErrRefused))
		h.must(h.sendValidation(ctx, sid))
		if sids, err := h.dueValidations(ctx); err != nil || len(sids) != 0 {
			t.Errorf("due are %q, %v, though it is refused", sids, err)
		}
	})
}

func TestWhatIsNoValidation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{Messages: Messages{Email: func(context.Context, mail.Letter) error { return nil }, Allows: new(outbox).messages().Allows}})
		good := ValidationRequest{Operation: ToAdd, ThreePID: email("a@example.org"), Secret: "s", Attempt: 1}
		for _, row := range []struct {
			change func(*ValidationRequest)
			code   mxerr.Code
		}{
			{func(r *ValidationRequest) { r.Secret = "" }, mxerr.InvalidParam},
			{func(r *ValidationRequest) { r.Secret = "a b" }, mxerr.InvalidParam},
			{func(r *ValidationRequest) { r.Secret = strings.Repeat("x", 256) }, mxerr.InvalidParam},
			{func(r *ValidationRequest) { r.ThreePID = email("a@evil.test") }, mxerr.ThreePIDDenied},
			{func(r *ValidationRequest) { r.ThreePID = ThreePID{MSISDN, "447700900001"} }, mxerr.ThreePIDMediumNotSupported},
			{func(r *ValidationRequest) { r.ThreePID, r.Operation = email("a@evil.test"), ToReset }, ""},
			{func(*ValidationRequest) {}, ""},
		} {
			r := good
			row.change(&r)
			if _, err := h.RequestValidation(ctx, r); (err == nil) != (row.code == "") || err != nil && !errors.Is(err, row.code) {
				t.Errorf("%+v: got %v, want %s", r, err, row.code)
			}
		}
	})
}

// An address is shown by the stage that is for it, and for what it was validated.
func TestAnAddressIsAStage(t *testing.T) {
	playMail(t, func(h house, o *outbox) {
		h.create(alice)
		h.create(bob)
		h.must(h.SetContacts(ctx, alice, []ThreePID{email("alice@example.org")}))
		proof := func(operation string, to ThreePID) string {
			sid, sent := h.ask(o, operation, to, "s", 1)
			if _, err := h.Validate(ctx, sid, "", token(h, sent)); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf(`{"sid":%q,"client_secret":"s"}`, sid)
		}
		toReset, toAdd, toRegister := proof(ToReset, email("alice@example.org")), proof(ToAdd, email("bob@example.org")), proof(ToRegister, email("carol@example.org"))
		reset := Interaction{Operation: ToReset, Flows: []Flow{{StagePassword}, {StageEmail}, {StageMSISDN}}}
		register := Interaction{Operation: ToRegister, Flows: []Flow{{StageDummy, StageEmail}}}
		for _, row := range []struct {
			name  string
			i     Interaction
			stage Stage
			creds string
			code  mxerr.Code
		}{
			{"what was for something else", reset, StageEmail, toAdd, mxerr.ThreePIDAuthFailed},
			{"a mail address as a number", reset, StageMSISDN, toReset, mxerr.ThreePIDAuthFailed},
			{"another secret", reset, StageEmail, strings.Replace(toReset, `"s"}`, `"t"}`, 1), mxerr.ThreePIDAuthFailed},
			{"nothing", reset, StageEmail, `{}`, mxerr.ThreePIDAuthFailed},
			{"no object", reset, StageEmail, `[]`, mxerr.MissingParam},
			{"the wrong type", reset, StageEmail, `{"sid":7}`, mxerr.BadJSON},
			{"another one's address", Interaction{Operation: ToReset, User: bob, Flows: reset.Flows}, StageEmail, toReset, mxerr.Forbidden},
			{"not the next stage", register, StageEmail, toRegister, mxerr.Forbidden},
		} {
			row.i.Body = body(`{"auth":{"type":%q,"threepid_creds":%s}}`, row.stage, row.creds)
			if _, err := h.Interact(ctx, row.i); err == nil || !errors.Is(err, row.code) {
				t.Errorf("%s: got %v, want %s", row.name, err, row.code)
			}
		}
		reset.Body, reset.Secret = body(`{"new":"correct horses","auth":{"type":"m.login.email.identity","threepid_creds":%s}}`, toReset), "new"
		done, err := h.Interact(ctx, reset)
		if err != nil || done.User != alice || len(done.Proofs) != 1 || done.Password == "" {
			t.Fatalf("got %+v, %v", done, err)
		}
		h.must(h.UseProofs(ctx, done.Proofs))
		if err := h.UseProofs(ctx, done.Proofs); !errors.Is(err, mxerr.ThreePIDAuthFailed) {
			t.Errorf("used twice: got %v", err)
		}
		// By stages, of which the first is remembered.
		register.Body = body(`{"auth":{"type":"m.login.dummy"}}`)
		_, err = h.Interact(ctx, register)
		session := h.challenged(err, "")
		register.Body = body(`{"auth":{"session":%q,"type":"m.login.email.identity","threepid_creds":%s}}`, session, toRegister)
		done, err = h.Interact(ctx, register)
		if err != nil || done.User != "" || len(done.Proofs) != 1 {
			t.Fatalf("got %+v, %v", done, err)
		}
		if _, err := h.Create(ctx, NewAccount{Localpart: "carol", Proofs: done.Proofs}); err != nil || h.contacts("@carol:a.test") != "email carol@example.org" {
			t.Errorf("got %v, %s", err, h.contacts("@carol:a.test"))
		}
		if _, err := h.Create(ctx, NewAccount{Localpart: "dave", Proofs: done.Proofs}); !errors.Is(err, mxerr.ThreePIDAuthFailed) {
			t.Errorf("used twice: got %v", err)
		}
		if there, err := h.Exists(ctx, "@dave:a.test"); there || err != nil {
			t.Errorf("the account is there: %t, %v", there, err)
		}
	})
}
