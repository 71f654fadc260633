package e2ee

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/journal"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// answers makes a remote that answers a query with JSON, by server.
func (s *scene) answers(by map[id.ServerName]string) {
	s.remote.query = func(ctx context.Context, server id.ServerName, _ map[id.UserID][]id.DeviceID) (canonjson.Value, error) {
		if text, ok := by[server]; ok {
			return canonjson.Value(text), nil
		}
		return nil, errors.New("nobody is there")
	}
}

func TestOtherServersAreAskedForTheirUsers(t *testing.T) {
	play(t, func(s *scene) {
		theirs, friend := newClient(carol, "PHONE"), newIdentity(carol)
		other := newClient("@dan:c.test", "PHONE")
		s.answers(map[id.ServerName]string{
			"b.test": string(mustValue(map[string]any{
				"device_keys": map[string]any{
					string(carol): map[string]any{"PHONE": theirs.keys(), "OTHER": theirs.keys(), "": theirs.keys()},
					string(alice): map[string]any{"PHONE": newClient(alice, "PHONE").keys()},
					"@x:b.test":   map[string]any{"PHONE": newClient("@x:b.test", "PHONE").keys()},
					"x":           map[string]any{}, "@y:b.test": 1,
				},
				"master_keys":       map[string]any{string(carol): friend.upload().Master, string(alice): newIdentity(alice).upload().Master},
				"self_signing_keys": map[string]any{string(carol): friend.upload().SelfSigning, "@y:b.test": []int{}},
				"user_signing_keys": map[string]any{string(carol): friend.upload().UserSigning},
			})),
			"d.test": `[]`,
		})
		s.Cached = func(_ context.Context, users []id.UserID) (map[id.UserID]UserKeys, error) {
			known := UserKeys{Devices: map[id.DeviceID]canonjson.Value{"PHONE": other.keys(), "LAPTOP": other.keys()}}
			return map[id.UserID]UserKeys{other.user: known}, nil
		}
		a, err := s.Query(s.ctx, alice, Query{Users: map[id.UserID][]id.DeviceID{
			carol: nil, bob: nil, other.user: {"PHONE"}, "@e:d.test": nil, "@f:e.test": nil, "@g:e.test": nil,
		}})
		if err != nil {
			t.Fatal(err)
		}
		s.has("failures", fmt.Sprint(a.Failures), "[d.test e.test]")
		said := Said(canonjson.Value(`{"signatures":{"@alice:a.test":{"x":"y"},"@carol:b.test":{"x":"y"}},"unsigned":{"device_display_name":"phone","x":1},"x":1}`), carol)
		s.has("what is shown", string(said), `{"signatures":{"@carol:b.test":{"x":"y"}},"unsigned":{"device_display_name":"phone"},"x":1}`)
		var users []id.UserID
		for user := range a.Users {
			users = append(users, user)
		}
		slices.Sort(users)
		s.has("users", fmt.Sprint(users), "[@bob:a.test @carol:b.test @dan:c.test]")
		keys := a.Users[carol]
		if len(keys.Devices) != 1 || string(keys.Devices["PHONE"]) != string(theirs.keys()) {
			t.Errorf("got devices %v", keys.Devices)
		}
		s.has("master key", string(keys.Master), string(friend.upload().Master))
		s.has("self-signing key", string(keys.SelfSigning), string(friend.upload().SelfSigning))
		if keys.UserSigning != nil {
			t.Errorf("got user-signing key %s", keys.UserSigning)
		}
		if devices := a.Users[other.user].Devices; len(devices) != 1 || devices["PHONE"] == nil {
			t.Errorf("got %v of what is known", devices)
		}
	})
}

func TestUsersOfOtherServersAreSigned(t *testing.T) {
	play(t, func(s *scene) {
		i, friend := newIdentity(alice), newIdentity(carol)
		s.put(i)
		s.has("while nobody is there", string(func() string {
			s.answers(nil)
			return string(s.signed(alice, carol, publicText(friend.master), i.signsOther(friend)))
		}()), "M_NOT_FOUND")
		s.answers(map[id.ServerName]string{"b.test": string(mustValue(map[string]any{
			"device_keys": map[string]any{string(carol): map[string]any{}},
			"master_keys": map[string]any{string(carol): friend.upload().Master},
		}))})
		s.has("refused", string(s.signed(alice, carol, publicText(friend.master), i.signsOther(friend))), "")
		for viewer, want := range map[id.UserID]int{alice: 1, bob: 0} {
			a, err := s.Query(s.ctx, viewer, Query{Users: map[id.UserID][]id.DeviceID{carol: nil}})
			if got := signers(a.Users[carol].Master); err != nil || len(got) != want {
				t.Errorf("%s sees signatures by %v, %v", viewer, got, err)
			}
		}
	})
}

func TestAServerThatIsSilentKeepsNobodyWaitingForLong(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t, location)
		s := newScene(t, db)
		silent := func(ctx context.Context) (canonjson.Value, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		s.remote.query = func(ctx context.Context, server id.ServerName, _ map[id.UserID][]id.DeviceID) (canonjson.Value, error) {
			if server == "b.test" {
				return silent(ctx)
			}
			return canonjson.Value(`{"device_keys":{"@x:c.test":{}}}`), nil
		}
		s.remote.claim = func(ctx context.Context, server id.ServerName, _ map[id.UserID]map[id.DeviceID]string) (canonjson.Value, error) {
			return silent(ctx)
		}
		phone := newClient(alice, "PHONE")
		s.upload(phone, Upload{OneTime: phone.oneTime("A")})
		for ms, want := range map[uint64]time.Duration{0: usualTime, 500: 500 * time.Millisecond, 1e9: longestTime} {
			began := time.Now()
			a, err := s.Query(s.ctx, alice, Query{Users: map[id.UserID][]id.DeviceID{carol: nil, "@x:c.test": nil}, Timeout: ms})
			if err != nil || len(a.Failures) != 1 || len(a.Users) != 1 {
				t.Errorf("got %v, %v", a, err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("with timeout %d it took %v, want %v", ms, took, want)
			}
		}
		got, failed, err := s.Claim(s.ctx, Claim{Wanted: map[id.UserID]map[id.DeviceID]string{
			alice: {"PHONE": "signed_curve25519"}, carol: {"PHONE": "signed_curve25519"},
		}})
		if err != nil || len(got) != 1 || fmt.Sprint(failed) != "[b.test]" {
			t.Errorf("got %v, %v, %v", got, failed, err)
		}
		s.stop()
		db.Close()
	})
}

func TestKeysOfOthersAreThoseThatWereAskedFor(t *testing.T) {
	play(t, func(s *scene) {
		s.remote.claim = func(context.Context, id.ServerName, map[id.UserID]map[id.DeviceID]string) (canonjson.Value, error) {
			return canonjson.Canonical([]byte(`{"one_time_keys":{
				"@carol:b.test":{"A":{"signed_curve25519:1":{"key":"x"},"signed_curve25519:2":{"key":"y"}},
					"B":{"curve25519:1":"x"},"C":{"signed_curve25519:1":1},"D":{"signed_curve25519:1":"x"},"E":[]},
				"@alice:a.test":{"A":{"signed_curve25519:1":{}}}}}`), canonjson.Strict)
		}
		wanted := make(map[id.DeviceID]string)
		for _, device := range []id.DeviceID{"A", "B", "C", "E", "F"} {
			wanted[device] = "signed_curve25519"
		}
		got, failed, err := s.Claim(s.ctx, Claim{Wanted: map[id.UserID]map[id.DeviceID]string{carol: wanted}})
		if err != nil || len(failed) > 0 {
			t.Errorf("got %v, %v", failed, err)
		}
		if len(got) != 1 || got[0].Device != "A" || got[0].Name != "signed_curve25519:1" {
			t.Errorf("got %v", got)
		}
	})
}

func TestDehydratedDevices(t *testing.T) {
	play(t, func(s *scene) {
		first, second := newClient(alice, "FIRST"), newClient(alice, "SECOND")
		put := func(c *client, data string) string {
			t.Helper()
			d := Dehydrated{Device: c.device, Data: canonjson.Value(`{"algorithm":"x","data":"` + data + `"}`)}
			d.Add = func(*journal.Batch) (bool, error) { return data != "2", nil }
			before, err := s.PutDehydrated(s.ctx, alice, d, Upload{Device: c.keys(), OneTime: c.oneTime("A"), Fallback: c.fallback("F")})
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(before)
		}
		s.has("before the first", put(first, "1"), "[]")
		s.has("the same again", put(first, "2"), "[]")
		s.has("before the second", put(second, "3"), "[FIRST]")
		d, err := s.Dehydrated(s.ctx, alice)
		if err != nil || d.Device != "SECOND" || !d.Data.Get("data").Is("3") {
			t.Errorf("got %v, %v", d, err)
		}
		all, err := s.AllDehydrated(s.ctx, alice)
		s.has("all", fmt.Sprint(all, err), "[FIRST SECOND] <nil>")
		s.has("the first again", put(first, "4"), "[SECOND]")
		if err := s.RemoveDevices(s.ctx, alice, []id.DeviceID{"SECOND"}); err != nil {
			t.Fatal(err)
		}
		all, err = s.AllDehydrated(s.ctx, alice)
		s.has("what is left", fmt.Sprint(all, err), "[FIRST] <nil>")
		s.has("a key", s.claim(first), "A")
	})
}
