package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/crypto/verificationhelper"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// A device keeps its keys, and what it has read, in memory.
type device struct {
	client       *mautrix.Client
	machine      *crypto.OlmMachine
	store        *mautrix.MemoryStateStore
	verification *verificationhelper.VerificationHelper

	// mu guards the following, which the syncing writes.
	mu      sync.Mutex
	synced  bool
	failed  error                 // what ended the syncing
	read    map[id.EventID]string // bodies of messages that were encrypted
	refused map[id.EventID]error  // why a message could not be deciphered
	sas     *sas                  // the verification that is going on
	changed chan struct{}         // closed and replaced after each change
}

// sas is a verification that has come to the comparison of emoji.
type sas struct {
	transaction id.VerificationTransactionID
	emoji       []string
	done        bool
	cancelled   string
}

func logIn(ctx context.Context, url, username, password string) (*device, error) {
	client, err := mautrix.NewClient(url, "", "")
	if err != nil {
		return nil, err
	}
	_, err = client.Login(ctx, &mautrix.ReqLogin{
		Type:                     mautrix.AuthTypePassword,
		Identifier:               mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: username},
		Password:                 password,
		InitialDeviceDisplayName: "mautrix-go",
		StoreCredentials:         true,
	})
	if err != nil {
		return nil, err
	}
	d := &device{
		client: client, store: mautrix.NewMemoryStateStore().(*mautrix.MemoryStateStore),
		read: map[id.EventID]string{}, refused: map[id.EventID]error{}, changed: make(chan struct{}),
	}
	client.StateStore = d.store
	d.machine = crypto.NewOlmMachine(client, nil, crypto.NewMemoryStore(nil), d.store)
	client.Crypto = cipher{d}
	if err := errors.Join(d.machine.Load(ctx), d.machine.ShareKeys(ctx, -1)); err != nil {
		return nil, fmt.Errorf("sharing keys: %w", err)
	}
	syncer := client.Syncer.(*mautrix.DefaultSyncer)
	syncer.OnEvent(client.StateStoreSyncHandler)
	syncer.OnSync(d.machine.ProcessSyncResponse)
	syncer.OnEventType(event.StateMember, d.machine.HandleMemberEvent)
	syncer.OnEventType(event.EventEncrypted, d.deciphers)
	syncer.OnSync(func(context.Context, *mautrix.RespSync, string) bool {
		d.notice(func() { d.synced = true })
		return true
	})
	d.verification = verificationhelper.NewVerificationHelper(client, d.machine, nil, d, false, false, true)
	if err := d.verification.Init(ctx); err != nil {
		return nil, fmt.Errorf("preparing for verification: %w", err)
	}
	go func() {
		err := client.SyncWithContext(ctx)
		d.notice(func() { d.failed = fmt.Errorf("syncing ended: %w", err) })
	}()
	return d, d.until(ctx, "a sync", func() bool { return d.synced })
}

// notice changes what the device knows and wakes those who wait for it.
func (d *device) notice(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	close(d.changed)
	d.changed = make(chan struct{})
}

// until waits for a condition, which is asked with d.mu locked.
func (d *device) until(ctx context.Context, what string, condition func() bool) error {
	for {
		d.mu.Lock()
		ok, failed, changed := condition(), d.failed, d.changed
		d.mu.Unlock()
		switch {
		case ok:
			return nil
		case failed != nil:
			return failed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}

// deciphers takes in an encrypted event. The key may come after the event.
func (d *device) deciphers(ctx context.Context, e *event.Event) {
	plain, err := d.machine.DecryptMegolmEvent(ctx, e)
	if errors.Is(err, crypto.ErrNoSessionFound) {
		go func() {
			content := e.Content.AsEncrypted()
			if d.machine.WaitForSession(ctx, e.RoomID, content.SenderKey, content.SessionID, patience) {
				plain, err = d.machine.DecryptMegolmEvent(ctx, e)
			}
			d.takesIn(ctx, e, plain, err)
		}()
		return
	}
	d.takesIn(ctx, e, plain, err)
}

func (d *device) takesIn(ctx context.Context, e, plain *event.Event, err error) {
	if err != nil {
		d.notice(func() { d.refused[e.ID] = err })
		return
	}
	if message, ok := plain.Content.Parsed.(*event.MessageEventContent); ok {
		d.notice(func() { d.read[e.ID] = message.Body })
	}
	plain.Mautrix.EventSource |= event.SourceDecrypted
	d.client.Syncer.(mautrix.DispatchableSyncer).Dispatch(ctx, plain)
}

// What it does.

func (d *device) joins(ctx context.Context, room id.RoomID) (map[string]any, error) {
	if _, err := d.client.JoinRoomByID(ctx, room); err != nil {
		return nil, err
	}
	err := d.until(ctx, "the room's encryption", func() bool {
		encrypted, _ := d.store.IsEncrypted(ctx, room)
		return encrypted && d.store.IsMembership(ctx, room, d.client.UserID, event.MembershipJoin)
	})
	return map[string]any{}, err
}

func (d *device) says(ctx context.Context, room id.RoomID, body string) (map[string]any, error) {
	sent, err := d.client.SendText(ctx, room, body)
	if err != nil {
		return nil, err
	}
	return map[string]any{"event_id": sent.EventID}, nil
}

// reads waits for a message that the device can read.
func (d *device) reads(ctx context.Context, e id.EventID) (map[string]any, error) {
	var body string
	var refused error
	err := d.until(ctx, "event "+e.String(), func() (ok bool) {
		body, ok = d.read[e]
		refused = d.refused[e]
		return ok || refused != nil
	})
	return map[string]any{"body": body}, errors.Join(err, refused)
}

// seesDevices waits until these are all the devices of a user.
func (d *device) seesDevices(ctx context.Context, user id.UserID, wanted []id.DeviceID) (map[string]any, error) {
	var known []id.DeviceID
	var failed error
	err := d.until(ctx, "the devices of "+user.String(), func() bool {
		devices, err := d.machine.CryptoStore.GetDevices(ctx, user)
		known, failed = slices.Sorted(maps.Keys(devices)), err
		return err != nil || slices.Equal(known, wanted)
	})
	if err != nil {
		err = fmt.Errorf("%w: it knows %v, not %v", err, known, wanted)
	}
	return map[string]any{}, errors.Join(err, failed)
}

// secures gives the user cross-signing keys and secret storage, and signs the
// device with them.
func (d *device) secures(ctx context.Context, password string) (map[string]any, error) {
	recovery, _, err := d.machine.GenerateAndUploadCrossSigningKeysWithPassword(ctx, password, "")
	if err != nil {
		return nil, fmt.Errorf("making cross-signing keys: %w", err)
	}
	if err := d.machine.SignOwnDevice(ctx, d.machine.OwnIdentity()); err != nil {
		return nil, fmt.Errorf("signing the own device: %w", err)
	}
	if err := d.machine.SignOwnMasterKey(ctx); err != nil {
		return nil, fmt.Errorf("signing the master key: %w", err)
	}
	return map[string]any{"recovery_key": recovery}, nil
}

func (d *device) showsEmoji(ctx context.Context) (map[string]any, error) {
	var emoji []string
	err := d.until(ctx, "emoji", func() bool {
		if d.sas == nil {
			return false
		}
		emoji = d.sas.emoji
		return emoji != nil
	})
	return map[string]any{"emoji": emoji}, err
}

// confirms says that the emoji are the same.
func (d *device) confirms(ctx context.Context) (map[string]any, error) {
	d.mu.Lock()
	transaction := d.sas.transaction
	d.mu.Unlock()
	return map[string]any{}, d.verification.ConfirmSAS(ctx, transaction)
}

// verifies waits for the other to have said so too.
func (d *device) verifies(ctx context.Context) (map[string]any, error) {
	err := d.until(ctx, "the end of the verification", func() bool { return d.sas != nil && (d.sas.done || d.sas.cancelled != "") })
	if err == nil && d.sas.cancelled != "" {
		err = errors.New(d.sas.cancelled)
	}
	return map[string]any{}, err
}

// What the verification calls.

func (d *device) VerificationRequested(_ context.Context, transaction id.VerificationTransactionID, _ id.UserID, _ id.DeviceID) {
	go func() {
		if err := d.verification.AcceptVerification(context.Background(), transaction); err != nil {
			d.notice(func() { d.failed = fmt.Errorf("accepting a verification: %w", err) })
		}
	}()
}

func (d *device) VerificationReady(context.Context, id.VerificationTransactionID, id.DeviceID, bool, bool, *verificationhelper.QRCode) {
}

func (d *device) VerificationCancelled(_ context.Context, _ id.VerificationTransactionID, code event.VerificationCancelCode, reason string) {
	d.notice(func() {
		if d.sas == nil {
			d.sas = &sas{}
		}
		d.sas.cancelled = fmt.Sprintf("cancelled with %s: %s", code, reason)
	})
}

func (d *device) VerificationDone(context.Context, id.VerificationTransactionID, event.VerificationMethod) {
	d.notice(func() {
		if d.sas != nil {
			d.sas.done = true
		}
	})
}

func (d *device) ShowSAS(_ context.Context, transaction id.VerificationTransactionID, _ []rune, names []string, _ []int) {
	d.notice(func() { d.sas = &sas{transaction: transaction, emoji: names} })
}

// cipher is what the client asks for encryption.
type cipher struct{ *device }

func (c cipher) Init(context.Context) error { return nil }

func (c cipher) Encrypt(ctx context.Context, room id.RoomID, kind event.Type, content any) (*event.EncryptedEventContent, error) {
	return c.EncryptWithStateKey(ctx, room, kind, nil, content)
}

func (c cipher) EncryptWithStateKey(ctx context.Context, room id.RoomID, kind event.Type, key *string, content any) (*event.EncryptedEventContent, error) {
	encrypted, err := c.machine.EncryptMegolmEventWithStateKey(ctx, room, kind, key, content)
	if !errors.Is(err, crypto.ErrSessionExpired) && !errors.Is(err, crypto.ErrNoGroupSession) && !errors.Is(err, crypto.ErrSessionNotShared) {
		return encrypted, err
	}
	members, err := c.store.GetRoomJoinedOrInvitedMembers(ctx, room)
	if err == nil {
		err = c.machine.ShareGroupSession(ctx, room, members)
	}
	if err != nil {
		return nil, fmt.Errorf("sharing a key with the members of %s: %w", room, err)
	}
	return c.machine.EncryptMegolmEventWithStateKey(ctx, room, kind, key, content)
}

func (c cipher) Decrypt(ctx context.Context, e *event.Event) (*event.Event, error) {
	return c.machine.DecryptMegolmEvent(ctx, e)
}

func (c cipher) WaitForSession(ctx context.Context, room id.RoomID, sender id.SenderKey, session id.SessionID, timeout time.Duration) bool {
	return c.machine.WaitForSession(ctx, room, sender, session, timeout)
}

func (c cipher) RequestSession(context.Context, id.RoomID, id.SenderKey, id.SessionID, id.UserID, id.DeviceID) {
}
