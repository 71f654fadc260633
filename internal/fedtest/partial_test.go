package fedtest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// A resident is a server that is in a room with many members, and leaves them out of
// what it hands over. It tells of them once it is let.
type resident struct {
	*villain
	foothold
	branch *roomtest.Branch
	joined *event.Event // by which somebody has come
	tells  chan struct{}
}

const crowd = 30

// resident starts one with a room.
func (s *stage) resident(version string) *resident {
	s.Helper()
	v := &resident{villain: s.villain("v.test"), tells: make(chan struct{})}
	v.key = roomtest.Key(v.name)
	room := roomtest.New(s.TB, roomver.Version(version))
	host := id.UserID("@host:v.test")
	create := room.CreateSpec(host, nil)
	create.TS = time.Now().UnixMilli()
	v.branch = room.Root()
	v.branch.Send(create)
	levels := `{"users":{"@host:v.test":100}}`
	if room.Rules().PrivilegedCreators {
		levels = `{}`
	}
	specs := []roomtest.Spec{roomtest.Join(host), roomtest.PowerLevels(host, levels), roomtest.JoinRules(host, "public")}
	for i := range crowd {
		specs = append(specs, roomtest.Join(id.UserID(fmt.Sprintf("@m%d:v.test", i))))
	}
	for _, spec := range specs {
		spec.TS = time.Now().UnixMilli()
		v.branch.Send(spec)
	}
	v.foothold = foothold{id: string(room.ID()), rules: room.Rules(), user: host, create: room.CreateEvent(), state: make(map[string]*event.Event), depth: 100}
	for t, e := range v.branch.State() {
		v.state[t.Type+" "+t.StateKey] = e
	}
	v.join = v.state["m.room.member "+string(host)]
	v.answer("/_matrix/federation/v1/make_join/", v.makes)
	v.answer("/_matrix/federation/v2/send_join/", v.hands)
	v.answer("/_matrix/federation/v1/state/", v.tell)
	v.answer("/_matrix/federation/v1/event_auth/", v.authorises)
	return v
}

// makes answers with the template of a join.
func (v *resident) makes(w http.ResponseWriter, r *http.Request) {
	user := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	join := v.branch.Build(roomtest.Join(id.UserID(user))).JSON().Without("signatures", "hashes", "event_id", "unsigned")
	join = join.With("origin_server_ts", canonjson.Value(fmt.Sprint(time.Now().UnixMilli())))
	says(fmt.Sprintf(`{"room_version":%q,"event":%s}`, v.rules.Version, join), 200)(w, r)
}

// hands hands over the room without members, but for the host.
func (v *resident) hands(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		v.Error(err)
	}
	join, err := event.Parse(raw, v.rules)
	if err != nil {
		v.Error(err)
	}
	v.joined = join
	says(fmt.Sprintf(`{"origin":"v.test","event":%s,"members_omitted":true,"servers_in_room":["v.test"],"auth_chain":[],"state":%s}`,
		join.JSON(), v.events(func(t event.Tuple) bool { return t.Type != event.TypeMember || t.StateKey == string(v.user) })), 200)(w, r)
}

// tell tells of all members, once it is let.
func (v *resident) tell(w http.ResponseWriter, r *http.Request) {
	select {
	case <-v.tells:
	case <-r.Context().Done():
		return
	}
	says(fmt.Sprintf(`{"auth_chain":[],"pdus":%s}`, v.events(func(event.Tuple) bool { return true })), 200)(w, r)
}

func (v *resident) authorises(w http.ResponseWriter, r *http.Request) {
	says(fmt.Sprintf(`{"auth_chain":%s}`, v.events(func(event.Tuple) bool { return true })), 200)(w, r)
}

// events is what of the state is wanted, as JSON.
func (v *resident) events(wanted func(event.Tuple) bool) string {
	var list []string
	for t, e := range v.branch.State() {
		if wanted(t) {
			list = append(list, string(e.JSON()))
		}
	}
	return "[" + strings.Join(list, ",") + "]"
}

// speaks sends what a member says, who is not known elsewhere.
func (v *resident) speaks(to *hstest.Server, member int, body string) string {
	v.Helper()
	user := fmt.Sprintf("@m%d:v.test", member)
	object := v.draft(body).With("sender", canonjson.Text(user)).With("prev_events", v.refs(v.joined))
	auth := []*event.Event{v.state["m.room.power_levels "], v.state["m.room.member "+user]}
	if !v.rules.RoomIDFromCreate {
		auth = append(auth, v.create)
	}
	e := v.complete(&v.foothold, object.With("auth_events", v.refs(auth...)))
	if status, answer := v.push(to, []canonjson.Value{e.JSON()}, nil); status != 200 {
		v.Fatalf("%d %s", status, answer)
	}
	return string(e.ID())
}

// lazily is a /sync of a client that loads members lazily, eagerly of one that does not.
func lazily(u *hstest.User, since string) canonjson.Value {
	return u.Must("GET", path("sync")+"?filter="+url.QueryEscape(`{"room":{"state":{"lazy_load_members":true}}}`)+"&since="+since, nil)
}

func eagerly(u *hstest.User, since string) canonjson.Value {
	return u.Must("GET", path("sync")+"?since="+since, nil)
}

// bodies is what a sync has of messages in a room.
func bodies(sync canonjson.Value, room string) (list []string) {
	for e := range sync.Get("rooms").Get("join").Get(room).Get("timeline").Get("events").Elements() {
		if body := text(e, "content", "body"); body != "" {
			list = append(list, body)
		}
	}
	return list
}

// members counts the member events that a sync has of a room.
func members(sync canonjson.Value, room string) (n int) {
	joined := sync.Get("rooms").Get("join").Get(room)
	for _, part := range []string{"state", "timeline"} {
		for e := range joined.Get(part).Get("events").Elements() {
			if e.Get("type").Is(event.TypeMember) {
				n++
			}
		}
	}
	return n
}

// tellsOf reports whether one of some events is what a user is in the room.
func tellsOf(events canonjson.Value, user string) bool {
	for e := range events.Elements() {
		if e.Get("type").Is(event.TypeMember) && e.Get("state_key").Is(user) {
			return true
		}
	}
	return false
}

// partial plays a scene in which bob joins the room of a resident.
func partial(t *testing.T, play func(s *stage, v *resident, b *hstest.Server, bob *hstest.User)) {
	for _, version := range []string{"1", "10", "12"} {
		t.Run("version "+version, func(t *testing.T) {
			scene(t, func(s *stage) {
				v, b := s.resident(version), s.Server("b.test")
				bob := b.Register("bob")
				s.join(bob, v.foothold.id, "v.test")
				play(s, v, b, bob)
			})
		})
	}
}

func TestARoomIsOfUseBeforeItsMembersAreKnown(t *testing.T) {
	partial(t, func(s *stage, v *resident, b *hstest.Server, bob *hstest.User) {
		room := v.foothold.id
		mine := s.say(bob, room, "hello")
		heard := v.speaks(b, 3, "welcome")
		s.settle()
		s.hears(bob, room, heard, "welcome")
		sync := lazily(bob, "")
		if n := len(bodies(sync, room)); n != 2 {
			t.Errorf("bob sees %d messages in %s", n, sync)
		}
		if got := sync.Get("rooms").Get("join").Get(room).Get("summary").Get("m.joined_member_count"); string(got) == fmt.Sprint(crowd+2) {
			t.Error("the members are known already, so there is nothing to see here")
		}
		close(v.tells)
		s.settle()
		after := lazily(bob, text(sync, "next_batch"))
		if got := after.Get("rooms").Get("join").Get(room).Get("summary").Get("m.joined_member_count"); string(got) != fmt.Sprint(crowd+2) {
			t.Errorf("then there are %s members: %s", got, after)
		}
		s.hears(bob, room, mine, "hello")
		s.hears(bob, room, heard, "welcome")
	})
}

func TestWhoSaysSomethingIsKnownBeforeTheMembersAre(t *testing.T) {
	const member = "@m3:v.test"
	slide := func(bob *hstest.User, pos string) canonjson.Value {
		return bob.Must("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?pos="+pos, `{"lists":{"all":{"ranges":[[0,9]],"timeline_limit":5,"required_state":[["m.room.member","$LAZY"]]}}}`)
	}
	filter := url.QueryEscape(`{"lazy_load_members":true}`)
	partial(t, func(s *stage, v *resident, b *hstest.Server, bob *hstest.User) {
		room := v.foothold.id
		before := lazily(bob, "")
		slides := slide(bob, "")
		heard := v.speaks(b, 3, "welcome")
		s.settle()
		s.hears(bob, room, heard, "welcome")
		for what, events := range map[string]canonjson.Value{
			"a first /sync":  lazily(bob, "").Get("rooms").Get("join").Get(room).Get("state").Get("events"),
			"the next /sync": lazily(bob, text(before, "next_batch")).Get("rooms").Get("join").Get(room).Get("state").Get("events"),
			"the next slide": slide(bob, text(slides, "pos")).Get("rooms").Get(room).Get("required_state"),
			"/messages":      bob.Must("GET", path("rooms", room, "messages")+"?dir=b&filter="+filter, nil).Get("state"),
			"/context":       bob.Must("GET", path("rooms", room, "context", heard)+"?filter="+filter, nil).Get("state"),
		} {
			if !tellsOf(events, member) {
				t.Errorf("%s tells nothing of who spoke: %s", what, events)
			}
		}
	})
}

func TestWhoWantsAllMembersSeesTheRoomWhenTheyAreKnown(t *testing.T) {
	partial(t, func(s *stage, v *resident, b *hstest.Server, bob *hstest.User) {
		room := v.foothold.id
		before := eagerly(bob, "")
		v.speaks(b, 3, "welcome")
		s.settle()
		between := eagerly(bob, text(before, "next_batch"))
		for _, sync := range []canonjson.Value{before, between} {
			if got := sync.Get("rooms").Get("join").Get(room); got != nil {
				t.Errorf("bob sees %s", got)
			}
		}
		close(v.tells)
		s.settle()
		for since, sync := range map[string]canonjson.Value{
			"before": eagerly(bob, text(before, "next_batch")), "between": eagerly(bob, text(between, "next_batch")), "nothing": eagerly(bob, ""),
		} {
			if got := members(sync, room); got != crowd+2 {
				t.Errorf("since %s bob sees %d members", since, got)
			}
			if got := bodies(sync, room); len(got) != 1 {
				t.Errorf("since %s bob sees %v", since, got)
			}
		}
	})
}

func TestARestartDoesNotForgetWhoseMembersAreMissing(t *testing.T) {
	partial(t, func(s *stage, v *resident, b *hstest.Server, bob *hstest.User) {
		room := v.foothold.id
		v.speaks(b, 3, "welcome")
		b.Kill()
		b.Start()
		close(v.tells)
		s.settle()
		if got := len(s.state(bob, room)); got != crowd+5 {
			t.Errorf("the state has %d events", got)
		}
	})
}

func TestWhoAsksForTheMembersWaitsForThem(t *testing.T) {
	partial(t, func(s *stage, v *resident, b *hstest.Server, bob *hstest.User) {
		room := v.foothold.id
		if status, answer := bob.Do("GET", path("rooms", room, "members"), nil); status != 429 {
			t.Errorf("while nobody tells: got %d %s", status, answer)
		}
		time.AfterFunc(5*time.Second, func() { close(v.tells) })
		chunk := bob.Must("GET", path("rooms", room, "members"), nil).Get("chunk")
		n := 0
		for range chunk.Elements() {
			n++
		}
		if n != crowd+2 {
			t.Errorf("bob is told of %d members", n)
		}
	})
}
