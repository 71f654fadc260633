package feed_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

const someFields = `{"org.matrix.msc4429.profile_fields":{"ids":["m.tz","org.test.a","org.test.none","displayname"]}}`

// setField sets a field of a profile, or removes it if there is no value.
func setField(u *hstest.User, name, value string) {
	path := "/_matrix/client/v3/profile/" + url.PathEscape(string(u.ID)) + "/" + name
	if value == "" {
		u.Must("DELETE", path, nil)
	} else {
		u.Must("PUT", path, fmt.Sprintf(`{%q:%s}`, name, value))
	}
}

// profiles demands that an answer says this of profiles, each as "alice" and the
// updates.
func (a answer) profiles(want ...string) {
	a.Helper()
	var got []string
	for user, v := range a.Get("org.matrix.msc4429.users").Members() {
		got = append(got, briefUser(user)+" "+string(v.Get("profile_updates")))
	}
	same(a, "profiles", got, want...)
}

func briefUser(user canonjson.Value) string { return strings.TrimSuffix(user.String()[1:], ":a.test") }

func TestAChangedProfileIsToldToWhoAsksAndSharesARoom(t *testing.T) {
	s := newScene(t)
	room := s.room(s.bob)
	setField(s.alice, "m.tz", `"UTC"`)
	bob, carol, unasked := newClient(t, s.bob, someFields), newClient(t, s.carol, someFields), newClient(t, s.bob, "")
	bob.sync().profiles(`alice {"displayname":"alice","m.tz":"UTC"}`, `bob {"displayname":"bob"}`)
	carol.sync().profiles(`carol {"displayname":"carol"}`)
	unasked.sync().profiles()
	bob.sync().profiles()

	setField(s.alice, "m.tz", `"CET"`)
	setField(s.alice, "org.test.a", `{"b":[null]}`)
	setField(s.alice, "org.test.b", `"nobody asks for it"`)
	setField(s.alice, "m.tz", `"EET"`)
	bob.lose().profiles(`alice {"m.tz":"EET","org.test.a":{"b":[null]}}`)
	bob.sync().profiles(`alice {"m.tz":"EET","org.test.a":{"b":[null]}}`)
	bob.sync().profiles()
	carol.sync().profiles()
	unasked.sync().profiles()

	setField(s.alice, "org.test.a", "")
	setField(s.alice, "displayname", `""`)
	setField(s.alice, "m.tz", `"EET"`) // which it is
	s.server.Restart()
	bob.sync().profiles(`alice {"displayname":null,"org.test.a":null}`)
	bob.sync().profiles()
	alice := newClient(t, s.alice, someFields)
	alice.sync().profiles(`alice {"m.tz":"EET"}`, `bob {"displayname":"bob"}`)
	setField(s.alice, "m.tz", "")
	alice.sync().profiles(`alice {"m.tz":null}`) // which another device may have done

	// Who does not share a room any more is told nothing, and everything when they do again.
	s.leave(s.alice, room)
	setField(s.alice, "org.test.a", `1`)
	bob.sync().profiles()
	setField(s.alice, "org.test.a", "")
	setField(s.alice, "displayname", `"Alice"`)
	bob.sync().profiles()
	s.join(s.alice, room)
	bob.sync().profiles(`alice {"displayname":"Alice","m.tz":null,"org.test.a":null,"org.test.none":null}`)
	s.join(s.carol, room)
	carol.sync().profiles(`alice {"displayname":"Alice","m.tz":null,"org.test.a":null,"org.test.none":null}`,
		`bob {"displayname":"bob","m.tz":null,"org.test.a":null,"org.test.none":null}`)
	bob.sync().profiles(`carol {"displayname":"carol","m.tz":null,"org.test.a":null,"org.test.none":null}`)
}

// TestWhoIsIgnoredStillHasAProfile: as with the state of rooms, clients show it beside
// what they have.
func TestWhoIsIgnoredStillHasAProfile(t *testing.T) {
	s := newScene(t)
	s.room(s.bob)
	bob := newClient(t, s.bob, someFields)
	bob.sync()
	s.bob.Must("PUT", "/_matrix/client/v3/user/"+url.PathEscape(string(s.bob.ID))+"/account_data/m.ignored_user_list", fmt.Sprintf(`{"ignored_users":{%q:{}}}`, s.alice.ID))
	setField(s.alice, "m.tz", `"UTC"`)
	bob.sync().profiles(`alice {"m.tz":"UTC"}`)
}

// TestWhoseTokenIsTooOldIsToldWhatIsNotThere: the client may have it.
func TestWhoseTokenIsTooOldIsToldWhatIsNotThere(t *testing.T) {
	s := newScene(t)
	s.room(s.bob)
	setField(s.alice, "m.tz", `"UTC"`)
	bob := newClient(t, s.bob, someFields)
	bob.sync()
	setField(s.alice, "m.tz", "")
	bob.since = strings.Replace(bob.since, "s1_", "s1_other", 1) // of an epoch before a restore
	bob.sync().profiles(`alice {"displayname":"alice","m.tz":null,"org.test.a":null,"org.test.none":null}`,
		`bob {"displayname":"bob","m.tz":null,"org.test.a":null,"org.test.none":null}`)
}

func TestWhoWaitsIsWokenByAProfileThatTheyAskFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		s.room(s.bob)
		asks, unasked := quietly(t, s.bob, someFields), quietly(t, s.bob, "")
		slides, unsliding := newSlider(t, s.bob, map[string]any{}), newSlider(t, s.bob, map[string]any{})
		slides.set("extensions", map[string]any{"org.matrix.msc4262.profiles": map[string]any{"enabled": true}})
		settled := func() { // nobody comes or goes any more
			time.Sleep(10 * time.Minute)
			synctest.Wait()
		}
		asks.sync()
		unasked.sync()
		for i, c := range []*slider{slides, unsliding} {
			c.set("conn_id", fmt.Sprint(i))
			c.slide()
		}
		settled()
		for _, c := range []*client{asks, unasked} {
			c.sync()
			c.query += "&timeout=60000"
		}
		for _, c := range []*slider{slides, unsliding} {
			c.slide()
			c.set("timeout", 60_000)
		}
		told := make(chan string, 4)
		go func() { told <- fmt.Sprint("asks ", asks.sync().Get("org.matrix.msc4429.users") != nil) }()
		go func() {
			told <- fmt.Sprint("slides ", slides.slide().Get("extensions").Get("org.matrix.msc4262.profiles") != nil)
		}()
		synctest.Wait()
		setField(s.alice, "m.tz", `"UTC"`)
		synctest.Wait()
		got := []string{<-told, <-told}
		slices.Sort(got)
		same(t, "woken", got, "asks true", "slides true")

		// The others sleep on, and nothing is looked up.
		go func() { told <- fmt.Sprint("unasked ", unasked.sync().Get("org.matrix.msc4429.users") != nil) }()
		go func() { told <- fmt.Sprint("unsliding ", unsliding.slide().Get("extensions")) }()
		synctest.Wait()
		spent := func(do func()) int64 {
			before := s.server.Database().Statements()
			do()
			synctest.Wait()
			return s.server.Database().Statements() - before
		}
		setField(s.alice, "m.tz", `"CET"`)
		waiting := spent(func() { setField(s.alice, "m.tz", `"MSK"`) })
		select {
		case who := <-told:
			t.Errorf("woken: %s", who)
		default:
		}
		settled()
		same(t, "after the timeout", []string{<-told, <-told}, "unasked false", "unsliding {}")
		setField(s.alice, "m.tz", `"CET"`)
		if nobody := spent(func() { setField(s.alice, "m.tz", `"MSK"`) }); nobody != waiting {
			t.Errorf("a change took %d statements while two waited who did not ask, otherwise %d", waiting, nobody)
		}
	})
}

// TestWhoDoesNotAskForProfilesPaysNothing: a change is not looked for.
func TestWhoDoesNotAskForProfilesPaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		room := s.room(s.bob)
		bob, slides := quietly(t, s.bob, ""), newSlider(t, s.bob, map[string]any{"all": all(1)})
		cost := func() int64 {
			before := s.server.Database().Statements()
			bob.sync()
			slides.slide()
			return s.server.Database().Statements() - before
		}
		settle := func() {
			time.Sleep(time.Minute)
			synctest.Wait()
			s.say(s.alice, room, "hello")
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		settle()
		cost()
		settle()
		without := cost()
		setField(s.alice, "m.tz", `"UTC"`)
		settle()
		if with := cost(); with != without {
			t.Errorf("%d statements after a change, %d without", with, without)
		}
	})
}

// A folder is what a client has made of what it was told of profiles.
type folder map[string]map[string]string

func (f folder) field(user, name string, value canonjson.Value) {
	if f[user] == nil {
		f[user] = make(map[string]string)
	}
	if f[user][name] = string(value); value == nil || value.Kind() == canonjson.Null {
		delete(f[user], name)
	}
}

func (f folder) updates(a answer) {
	for user, v := range a.Get("org.matrix.msc4429.users").Members() {
		for name, value := range v.Get("profile_updates").Members() {
			f.field(briefUser(user), name.String(), value)
		}
	}
}

func (f folder) extension(a slid) {
	for user, v := range a.Get("extensions").Get("org.matrix.msc4262.profiles").Get("users").Members() {
		if v.Kind() == canonjson.Null {
			delete(f, briefUser(user))
			continue
		}
		if f[briefUser(user)] == nil {
			f[briefUser(user)] = make(map[string]string)
		}
		for name, value := range v.Get("updated").Members() {
			f.field(briefUser(user), name.String(), value)
		}
		for name := range v.Get("removed").Elements() {
			f.field(briefUser(user), name.String(), nil)
		}
	}
}

// TestToldProfilesAddUp has people come and go and change their profiles, while clients
// sync now and then, lose answers, and the server is restarted: what each knows of those
// who share a room is what a client is told that begins.
func TestToldProfilesAddUp(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { addUp(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func addUp(t *testing.T, random *rand.Rand) {
	s := newScene(t)
	others := []*hstest.User{s.alice, s.carol, s.server.Register("dan")}
	rooms := []string{s.room(s.bob), s.room(s.bob), s.room()}
	classic, known := newClient(t, s.bob, someFields), make(folder)
	sliders, learned := make(map[string]*slider), make(map[string]folder)
	for name, include := range map[string]any{
		"members at once": map[string]any{"include": []any{}},
		"members lazily":  map[string]any{"include": []any{}, "lazy_members": true},
		"a small window":  map[string]any{"include": []any{}},
	} {
		list := map[string]any{"timeline_limit": 4, "required_state": include}
		if name == "a small window" {
			list["range"] = []int{0, 0}
		}
		c := newSlider(t, s.bob, map[string]any{"all": list})
		c.set("conn_id", name)
		extension := map[string]any{"enabled": true}
		if random.IntN(2) == 0 {
			extension["fields"] = []string{"m.tz", "org.test.a", "displayname"}
		}
		c.set("extensions", map[string]any{"org.matrix.msc4262.profiles": extension})
		sliders[name], learned[name] = c, make(folder)
	}
	changing := sliders["members at once"] // asks for something else each time, and for all in the end
	members := append(slices.Clone(others), s.bob)
	names := []string{"m.tz", "org.test.a", "displayname"}
	for step := range 60 {
		who, room := members[random.IntN(len(members))], rooms[random.IntN(len(rooms))]
		switch random.IntN(9) {
		case 0, 1, 2:
			value := fmt.Sprintf("%q", fmt.Sprint(step))
			if random.IntN(3) == 0 {
				value = ""
			}
			setField(who, names[random.IntN(len(names))], value)
		case 3:
			s.join(who, room)
		case 4:
			if who != s.alice { // somebody has to be there who can let others in
				who.Do("POST", path(room, "leave"), `{}`)
			}
		case 5:
			who.Do("PUT", path(room, "send", "m.room.message", fmt.Sprint("step", step)), `{"body":"x","msgtype":"m.text"}`)
		case 6:
			if random.IntN(2) == 0 {
				s.server.Restart()
			}
		case 7:
			classic.lose()
			known.updates(classic.sync())
		case 8:
			asks := []any{map[string]any{"enabled": true}, map[string]any{"enabled": true, "fields": names[:1]}, nil}[random.IntN(3)]
			changing.set("extensions", map[string]any{"org.matrix.msc4262.profiles": asks})
			for name, c := range sliders {
				if random.IntN(2) == 0 {
					if random.IntN(3) == 0 {
						c.lose()
					}
					learned[name].extension(c.slide())
				}
			}
		}
	}
	known.updates(classic.sync())
	truth := make(folder)
	truth.updates(newClient(t, s.bob, someFields).sync())
	sharers, here := map[string]bool{"bob": true}, make(map[string]bool)
	for _, room := range rooms {
		status, v := s.bob.Do("GET", path(room, "joined_members"), nil)
		clear(here)
		for user := range v.Get("joined").Members() {
			sharers[briefUser(user)] = sharers[briefUser(user)] || status == 200
			here[briefUser(user)] = status == 200
		}
	}
	for user := range sharers {
		if !maps.Equal(known[user], truth[user]) {
			t.Errorf("/sync: of %s is known %v, and it is %v", user, known[user], truth[user])
		}
	}
	for _, u := range members { // in the last room, which is in each window then
		u.Do("PUT", path(rooms[2], "send", "m.room.message", "last"), `{"body":"x","msgtype":"m.text"}`)
	}
	changing.set("extensions", map[string]any{"org.matrix.msc4262.profiles": map[string]any{"enabled": true, "fields": names}})
	for name, c := range sliders {
		has := learned[name]
		has.extension(c.slide())
		for user := range sharers {
			whole := name == "members at once" || here[user]
			for field, value := range has[user] {
				if truth[user][field] != value {
					t.Errorf("%s: of %s is known that %s is %s, and it is %s", name, user, field, value, truth[user][field])
				}
			}
			if whole && len(has[user]) != len(truth[user]) {
				t.Errorf("%s: of %s is known %v, and it is %v", name, user, has[user], truth[user])
			}
		}
	}
}
