package e2e

import (
	"crypto/rand"
	"strings"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
)

func TestAnAccountIsMadeAndUsedOnTwoDevices(t *testing.T) {
	t.Parallel()
	alice := newUser(t, "alice")
	flows, err := client(t).GetLoginFlows(background)
	if err != nil || !flows.HasFlow(mautrix.AuthTypePassword) {
		t.Fatalf("login flows: %+v, %v", flows, err)
	}

	phone, laptop := alice.logsIn("phone"), alice.logsIn("laptop")
	if phone.DeviceID == laptop.DeviceID || phone.AccessToken == laptop.AccessToken {
		t.Errorf("the phone and the laptop are one device, %s", phone.DeviceID)
	}
	for _, d := range []*device{phone, laptop} {
		who, err := d.Whoami(background)
		if err != nil || who.UserID != alice.id || who.DeviceID != d.DeviceID {
			t.Errorf("%s asks who it is: %+v, %v; want %s on %s", d.who, who, err, alice.id, d.DeviceID)
		}
	}
	devices, err := phone.GetDevicesInfo(background)
	if err != nil || len(devices.Devices) != 2 {
		t.Errorf("alice's devices: %+v, %v; want 2", devices, err)
	}

	room := phone.creates(&mautrix.ReqCreateRoom{Name: "Made on the phone"})
	laptop.sees(room, "the room made on the phone", func(r *view) bool { return r.name() == "Made on the phone" })
	laptop.seesEvents(room, phone.says(room, "hello from the phone"))
	phone.seesEvents(room, laptop.says(room, "hello from the laptop"))
	agree(room, phone, laptop)
}

func TestOneDeviceLogsOutAndTheOtherGoesOn(t *testing.T) {
	t.Parallel()
	alice := newUser(t, "alice")
	phone, laptop := alice.logsIn("phone"), alice.logsIn("laptop")
	room := phone.creates(&mautrix.ReqCreateRoom{})

	phone.fallsAsleep()
	_, err := phone.Logout(background)
	phone.did("logs out", err)
	_, err = phone.Whoami(background)
	refused(t, "the phone asks who it is after it logged out", err, mautrix.MUnknownToken)
	_, err = phone.FullSyncRequest(background, mautrix.ReqSync{})
	refused(t, "the phone syncs after it logged out", err, mautrix.MUnknownToken)

	laptop.seesEvents(room, laptop.says(room, "still here"))
	agree(room, laptop)
}

func TestAccountsAreRefusedWithTheCodesOfTheSpecification(t *testing.T) {
	t.Parallel()
	alice, anybody := newUser(t, "alice"), client(t)

	_, err := register(anybody, alice.username, "password")
	refused(t, "registering a name that is taken", err, mautrix.MUserInUse)
	_, err = register(anybody, "no spaces!", "password")
	refused(t, "registering a name that breaks the grammar", err, mautrix.MInvalidUsername)
	_, err = anybody.RegisterAvailable(background, alice.username)
	refused(t, "asking whether a taken name is free", err, mautrix.MUserInUse)
	free, err := anybody.RegisterAvailable(background, "free-"+strings.ToLower(rand.Text()))
	if err != nil || !free.Available {
		t.Errorf("asking whether a free name is free: %+v, %v", free, err)
	}

	login := mautrix.ReqLogin{
		Type:       mautrix.AuthTypePassword,
		Identifier: mautrix.UserIdentifier{Type: mautrix.IdentifierTypeUser, User: alice.username},
		Password:   "a wrong one",
	}
	_, err = anybody.Login(background, &login)
	refused(t, "logging in with a wrong password", err, mautrix.MForbidden)
	login.Identifier.User, login.Password = "nobody-"+strings.ToLower(rand.Text()), alice.password
	_, err = anybody.Login(background, &login)
	refused(t, "logging in as nobody", err, mautrix.MForbidden)
	_, err = anybody.Whoami(background)
	refused(t, "asking who one is without a token", err, mautrix.MMissingToken)
}

func TestAccountDataReachesTheOtherDevice(t *testing.T) {
	t.Parallel()
	alice := newUser(t, "alice")
	phone, laptop := alice.logsIn("phone"), alice.logsIn("laptop")
	room := phone.creates(&mautrix.ReqCreateRoom{})

	phone.did("sets account data", phone.SetAccountData(background, "org.example.colour", map[string]string{"is": "green"}))
	phone.did("sets account data of the room", phone.SetRoomAccountData(background, room, "org.example.mood", map[string]string{"is": "good"}))
	phone.did("tags the room", phone.AddTag(background, room, event.RoomTagFavourite, 0.25))

	laptop.until("the account data", func() bool { return laptop.account["org.example.colour"] == `{"is":"green"}` })
	laptop.sees(room, "its account data", func(r *view) bool {
		return r.account["org.example.mood"] == `{"is":"good"}` &&
			r.account["m.tag"] == `{"tags":{"m.favourite":{"order":0.25}}}`
	})
	agree(room, phone, laptop)
}
