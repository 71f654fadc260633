package e2e

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/crypto"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// A cipher is a device that encrypts, of a person or of a bridge.
type cipher struct {
	*mautrix.Client
	t       *testing.T
	who     string
	machine *crypto.OlmMachine
	store   *mautrix.MemoryStateStore

	// mu guards the following.
	mu      sync.Mutex
	read    map[id.EventID]string
	refused map[id.EventID]error
	changed chan struct{} // closed and replaced after each change
}

// encrypts gives a client keys, and uploads them.
func encrypts(t *testing.T, who string, client *mautrix.Client, store *mautrix.MemoryStateStore) *cipher {
	t.Helper()
	c := &cipher{
		Client: client, t: t, who: who, store: store,
		read: map[id.EventID]string{}, refused: map[id.EventID]error{}, changed: make(chan struct{}),
	}
	client.StateStore = store
	c.machine = crypto.NewOlmMachine(client, nil, crypto.NewMemoryStore(nil), store)
	if err := errors.Join(c.machine.Load(t.Context()), c.machine.ShareKeys(t.Context(), -1)); err != nil {
		t.Fatalf("%s shares keys: %v", who, err)
	}
	return c
}

// encryptingPerson logs somebody in who encrypts, and syncs.
func (b *bridge) encryptingPerson(u *user, name string) *cipher {
	b.t.Helper()
	client := client(b.t)
	_, err := client.Login(b.t.Context(), &mautrix.ReqLogin{
		Type: mautrix.AuthTypePassword, Password: u.password, StoreCredentials: true, InitialDeviceDisplayName: name,
		Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: u.username},
	})
	if err != nil {
		b.t.Fatalf("%s logs in: %v", name, err)
	}
	c := encrypts(b.t, u.name+"'s "+name, client, mautrix.NewMemoryStateStore().(*mautrix.MemoryStateStore))
	syncer := client.Syncer.(*mautrix.DefaultSyncer)
	syncer.OnEvent(client.StateStoreSyncHandler)
	syncer.OnSync(c.machine.ProcessSyncResponse)
	syncer.OnEventType(event.StateMember, c.machine.HandleMemberEvent)
	syncer.OnEventType(event.EventEncrypted, c.deciphers)
	ctx, cancel := context.WithCancel(b.t.Context())
	var syncing sync.WaitGroup
	syncing.Go(func() { client.SyncWithContext(ctx) })
	b.t.Cleanup(func() {
		cancel()
		syncing.Wait()
	})
	return c
}

// deciphers takes in an encrypted event, whose key may come after it.
func (c *cipher) deciphers(ctx context.Context, e *event.Event) {
	if e.Sender == c.UserID && c.SetAppServiceUserID {
		return
	}
	go func() {
		content := e.Content.AsEncrypted()
		plain, err := c.machine.DecryptMegolmEvent(ctx, e)
		if errors.Is(err, crypto.ErrNoSessionFound) && c.machine.WaitForSession(ctx, e.RoomID, content.SenderKey, content.SessionID, patience) {
			plain, err = c.machine.DecryptMegolmEvent(ctx, e)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			c.refused[e.ID] = err
		} else if message, ok := plain.Content.Parsed.(*event.MessageEventContent); ok {
			c.read[e.ID] = message.Body
		}
		close(c.changed)
		c.changed = make(chan struct{})
	}()
}

// reads waits for a message, which must be readable.
func (c *cipher) reads(e id.EventID, want string) {
	c.t.Helper()
	timeout := time.After(2 * patience)
	for {
		c.mu.Lock()
		body, ok := c.read[e]
		err, changed := c.refused[e], c.changed
		c.mu.Unlock()
		switch {
		case err != nil:
			c.t.Fatalf("%s cannot read %q: %v", c.who, want, err)
		case ok && body != want:
			c.t.Fatalf("%s reads %q, want %q", c.who, body, want)
		case ok:
			return
		}
		select {
		case <-changed:
		case <-timeout:
			c.t.Fatalf("%s waits in vain for %q", c.who, want)
		}
	}
}

// knows waits until the device knows that members are in a room that is encrypted.
func (c *cipher) knows(r id.RoomID, members ...id.UserID) {
	c.t.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
		encrypted, _ := c.store.IsEncrypted(c.t.Context(), r)
		for _, member := range members {
			encrypted = encrypted && c.store.IsMembership(c.t.Context(), r, member, event.MembershipJoin)
		}
		if encrypted {
			return
		}
	}
	c.t.Fatalf("%s does not know who is in the room", c.who)
}

// says sends an encrypted message.
func (c *cipher) says(r id.RoomID, body string) id.EventID {
	c.t.Helper()
	ctx, content := c.t.Context(), &event.MessageEventContent{MsgType: event.MsgText, Body: body}
	encrypted, err := c.machine.EncryptMegolmEvent(ctx, r, event.EventMessage, content)
	if errors.Is(err, crypto.ErrSessionExpired) || errors.Is(err, crypto.ErrNoGroupSession) || errors.Is(err, crypto.ErrSessionNotShared) {
		var members []id.UserID
		if members, err = c.store.GetRoomJoinedOrInvitedMembers(ctx, r); err == nil {
			err = c.machine.ShareGroupSession(ctx, r, members)
		}
		if err == nil {
			encrypted, err = c.machine.EncryptMegolmEvent(ctx, r, event.EventMessage, content)
		}
	}
	if err != nil {
		c.t.Fatalf("%s encrypts %q: %v", c.who, body, err)
	}
	sent, err := c.SendMessageEvent(ctx, r, event.EventEncrypted, encrypted)
	if err != nil {
		c.t.Fatalf("%s says %q: %v", c.who, body, err)
	}
	return sent.EventID
}

func TestABridgeThatEncrypts(t *testing.T) {
	b := newBridge(t, func(r *appservice.Registration) { r.MSC3202, r.MSC4190 = true, true })
	b.t.Setenv("PARLEY_E2E_URL", b.server.URL)
	client := b.NewMautrixClient(b.BotMXID())
	if err := client.CreateDeviceMSC4190(t.Context(), "BRIDGE", "bridge"); err != nil {
		t.Fatal(err)
	}
	bot := encrypts(t, "the bridge", client, b.StateStore.(*mautrix.MemoryStateStore))
	bot.machine.AddAppserviceListener(b.events)
	b.events.On(event.EventEncrypted, bot.deciphers)
	b.events.On(event.StateMember, bot.machine.HandleMemberEvent)
	b.starts()
	// Neither making cross-signing keys nor replacing them asks for a password.
	for range 2 {
		if _, _, err := bot.machine.GenerateAndUploadCrossSigningKeys(t.Context(), nil, ""); err != nil {
			t.Fatalf("the bridge makes cross-signing keys: %v", err)
		}
	}
	user := newUser(t, "alice")
	phone := b.encryptingPerson(user, "phone")
	made, err := client.CreateRoom(t.Context(), &mautrix.ReqCreateRoom{
		Preset: "private_chat", Invite: []id.UserID{user.id},
		InitialState: []*event.Event{{Type: event.StateEncryption, Content: event.Content{Parsed: &event.EncryptionEventContent{Algorithm: id.AlgorithmMegolmV1}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := made.RoomID
	if _, err := phone.JoinRoomByID(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	phone.knows(r, user.id, bot.UserID)
	bot.knows(r, user.id)
	bot.reads(phone.says(r, "can you read this?"), "can you read this?")
	phone.reads(bot.says(r, "I can"), "I can")

	// Another device: the bridge learns of it, and shares its keys.
	tablet := b.encryptingPerson(user, "tablet")
	tablet.knows(r, user.id)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		devices, err := bot.machine.CryptoStore.GetDevices(t.Context(), user.id)
		if err != nil {
			t.Fatal(err)
		}
		if devices[tablet.DeviceID] != nil {
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("the bridge does not learn of the tablet, only of %v", devices)
		}
	}
	e := bot.says(r, "to both of you")
	phone.reads(e, "to both of you")
	tablet.reads(e, "to both of you")
	bot.reads(tablet.says(r, "from the tablet"), "from the tablet")

	// One-time keys that are used up are replaced by new ones, since the bridge is told
	// how many are left: it has uploaded 50 at first.
	wish := mautrix.OneTimeKeysRequest{bot.UserID: {bot.DeviceID: id.KeyAlgorithmSignedCurve25519}}
	for began, keys := time.Now(), map[id.KeyID]bool{}; len(keys) < 120; time.Sleep(5 * time.Millisecond) {
		claimed, err := phone.ClaimKeys(t.Context(), &mautrix.ReqClaimKeys{OneTimeKeys: wish})
		if err != nil {
			t.Fatal(err)
		}
		for key := range claimed.OneTimeKeys[bot.UserID][bot.DeviceID] {
			keys[key] = true
		}
		if time.Since(began) > 3*patience {
			t.Fatalf("the bridge had %d one-time keys in all", len(keys))
		}
	}
}
