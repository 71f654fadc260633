package apitest

import (
	"fmt"
	"strings"
	"testing"

	"parley/internal/account"
	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A scene has a room of Alice's with Bob in it, and Carol outside.
type scene struct {
	*hstest.Server
	t     *testing.T
	users map[string]*hstest.User
	names *strings.Replacer // of what is made up when the scene is set
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, Server: hstest.New(t).Server("a.test", withEverything), users: make(map[string]*hstest.User)}
	for _, name := range []string{"alice", "bob", "carol", "suspended", "locked"} {
		s.users[name] = s.Register(name)
	}
	s.users["guest"] = s.guest()
	const c = "/_matrix/client/v3/"
	alice := s.users["alice"]
	room := text(alice.Must("POST", c+"createRoom", `{"preset":"public_chat","room_alias_name":"room"}`), "room_id")
	private := text(alice.Must("POST", c+"createRoom", `{"preset":"private_chat"}`), "room_id")
	event := text(alice.Must("PUT", c+"rooms/"+room+"/send/m.room.message/1", `{"body":"x"}`), "event_id")
	hidden := text(alice.Must("PUT", c+"rooms/"+private+"/send/m.room.message/1", `{"body":"x"}`), "event_id")
	s.users["bob"].Must("POST", c+"rooms/"+room+"/join", `{}`)
	s.users["suspended"].Must("POST", c+"rooms/"+room+"/join", `{}`)
	own := text(s.users["suspended"].Must("PUT", c+"rooms/"+room+"/send/m.room.message/1", `{"body":"x"}`), "event_id")
	s.names = strings.NewReplacer("OWN", own, "ROOM", room, "PRIVATE", private, "EVENT", event, "HIDDEN", hidden, "DEVICE", string(alice.Device))
	accounts := s.Accounts()
	if err := accounts.SetSuspended(t.Context(), s.users["suspended"].ID, true); err != nil {
		t.Fatal(err)
	}
	if err := accounts.SetLocked(t.Context(), s.users["locked"].ID, true); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *scene) guest() *hstest.User {
	status, body := s.Do("POST", "/_matrix/client/v3/register?kind=guest", `{}`)
	if status != 200 {
		s.t.Fatalf("a guest: got %d %s", status, body)
	}
	return &hstest.User{Server: s.Server, ID: id.UserID(text(body, "user_id")), Token: text(body, "access_token")}
}

// A refusal is a request, and what it is refused with; an empty code is none.
type refusal struct {
	name, who, call, body string
	code                  mxerr.Code
	status                int // 0: that of the code
}

func (s *scene) try(list []refusal) {
	s.t.Helper()
	for _, r := range list {
		method, path, _ := strings.Cut(s.names.Replace(r.call), " ")
		if !strings.HasPrefix(path, "/") {
			path = "/_matrix/client/v3/" + path
		}
		var body any
		if r.body != "" {
			body = s.names.Replace(r.body)
		}
		var status int
		var answer canonjson.Value
		if u := s.users[r.who]; u != nil {
			status, answer = u.Do(method, path, body)
		} else {
			status, answer = s.Do(method, path, body)
		}
		want := r.status
		switch {
		case want == 0 && r.code == "":
			want = 200
		case want == 0:
			want = r.code.Status()
		}
		if code := text(answer, "errcode"); status != want || mxerr.Code(code) != r.code {
			s.t.Errorf("%s: %s of %s: got %d %s, want %d %s", r.name, r.call, r.who, status, answer, want, r.code)
		}
	}
}

func TestRefusalsOfWhoCalls(t *testing.T) {
	s := newScene(t)
	s.users["unknown"] = &hstest.User{Server: s.Server, Token: "parley_unknown"}
	s.try([]refusal{
		{"no token", "", "GET sync", "", mxerr.MissingToken, 401},
		{"an unknown token", "unknown", "GET sync", "", mxerr.UnknownToken, 401},
		{"an unknown token where none is needed", "unknown", "GET login", "", "", 0},
		{"an unknown token where there may be one", "unknown", "POST account/password", `{"new_password":"x"}`, mxerr.UnknownToken, 401},
		{"somebody locked", "locked", "GET sync", "", mxerr.UserLocked, 401},
		{"somebody locked logs out", "locked", "POST logout", "", "", 0},
		{"a guest", "guest", "POST createRoom", `{}`, mxerr.GuestAccessForbidden, 403},
		{"a guest asks who it is", "guest", "GET account/whoami", ``, "", 0},
		{"a guest where guests are not wanted", "guest", "POST join/ROOM", `{}`, mxerr.GuestAccessForbidden, 403},
		{"a guest puts up a picture", "guest", "PUT profile/" + string(s.users["guest"].ID) + "/avatar_url", `{"avatar_url":"mxc://a.test/x"}`, mxerr.GuestAccessForbidden, 403},
		{"a guest takes a name", "guest", "PUT profile/" + string(s.users["guest"].ID) + "/displayname", `{"displayname":"x"}`, "", 0},
		{"somebody suspended sends", "suspended", "PUT rooms/ROOM/send/m.room.message/1", `{"body":"x"}`, mxerr.UserSuspended, 403},
		{"somebody suspended creates", "suspended", "POST createRoom", `{}`, mxerr.UserSuspended, 403},
		{"somebody suspended joins", "suspended", "POST join/ROOM", `{}`, mxerr.UserSuspended, 403},
		{"somebody suspended invites", "suspended", "POST rooms/ROOM/invite", `{"user_id":"@carol:a.test"}`, mxerr.UserSuspended, 403},
		{"somebody suspended changes the profile", "suspended", "PUT profile/@suspended:a.test/displayname", `{"displayname":"x"}`, mxerr.UserSuspended, 403},
		{"somebody suspended removes an address", "suspended", "POST account/3pid/delete", `{"medium":"email","address":"x@example.org"}`, mxerr.UserSuspended, 403},
		{"somebody suspended redacts", "suspended", "PUT rooms/ROOM/redact/EVENT/1", `{}`, mxerr.UserSuspended, 403},
		{"somebody suspended redacts what is their own", "suspended", "PUT rooms/ROOM/redact/OWN/1", `{}`, "", 0},
		{"somebody suspended redacts it as an event", "suspended", "PUT rooms/ROOM/send/m.room.redaction/2", `{"redacts":"OWN"}`, "", 0},
		{"somebody suspended reads", "suspended", "GET sync", ``, "", 0},
		{"somebody suspended leaves", "suspended", "POST rooms/ROOM/leave", `{}`, "", 0},
	})
}

func TestRefusalsOfPathsAndMethods(t *testing.T) {
	newScene(t).try([]refusal{
		{"no such path", "alice", "GET nothing", "", mxerr.Unrecognized, 404},
		{"no OAuth 2.0", "", "GET /_matrix/client/v1/auth_metadata", "", mxerr.Unrecognized, 404},
		{"no such version", "alice", "GET /_matrix/client/v99/sync", "", mxerr.Unrecognized, 404},
		{"no such method", "alice", "POST sync", `{}`, mxerr.Unrecognized, 405},
		{"no such method without a token", "", "DELETE sync", ``, mxerr.Unrecognized, 405},
		{"no JSON", "alice", "POST createRoom", `{`, mxerr.NotJSON, 400},
		{"no object", "alice", "POST createRoom", `[]`, mxerr.BadJSON, 400},
		{"a wrong type", "alice", "POST createRoom", `{"name":1}`, mxerr.BadJSON, 400},
		{"a wrong type in a list", "alice", "POST createRoom", `{"invite":[1]}`, mxerr.BadJSON, 400},
		{"a body that is too large", "alice", "PUT rooms/ROOM/send/m.room.message/1", `{"x":"` + strings.Repeat("x", 1<<18) + `"}`, mxerr.TooLarge, 413},
		{"an event that is too large", "alice", "PUT rooms/ROOM/send/m.room.message/2", `{"x":"` + strings.Repeat("x", 66_000) + `"}`, mxerr.TooLarge, 413},
	})
}

func TestRefusalsOfRooms(t *testing.T) {
	newScene(t).try([]refusal{
		{"an alias that is taken", "alice", "POST createRoom", `{"room_alias_name":"room"}`, mxerr.RoomInUse, 400},
		{"an alias that is none", "alice", "POST createRoom", `{"room_alias_name":"a:b"}`, mxerr.InvalidParam, 400},
		{"an unknown version", "alice", "POST createRoom", `{"room_version":"99"}`, mxerr.UnsupportedRoomVersion, 400},
		{"an unknown preset", "alice", "POST createRoom", `{"preset":"x"}`, mxerr.InvalidParam, 400},
		{"an unknown visibility", "alice", "POST createRoom", `{"visibility":"x"}`, mxerr.InvalidParam, 400},
		{"an invite of nobody", "alice", "POST createRoom", `{"invite":["x"]}`, mxerr.BadJSON, 400},
		{"an invite by mail", "alice", "POST createRoom", `{"invite_3pid":[{"medium":"email","address":"x@example.org","id_server":"x","id_access_token":"x"}]}`, mxerr.ServerNotTrusted, 400},
		{"levels that are none", "alice", "POST createRoom", `{"power_level_content_override":{"users":1}}`, mxerr.InvalidRoomState, 400},
		{"state that is refused", "alice", "POST createRoom", `{"initial_state":[{"type":"m.room.member","state_key":"@bob:a.test","content":{"membership":"join"}}]}`, mxerr.InvalidRoomState, 400},
		{"state without content", "alice", "POST createRoom", `{"initial_state":[{"type":"x"}]}`, mxerr.BadJSON, 400},
		{"joining a private room", "carol", "POST rooms/PRIVATE/join", `{}`, mxerr.Forbidden, 403},
		{"joining an unknown room", "carol", "POST rooms/!unknown:a.test/join", `{}`, mxerr.NotFound, 404},
		{"joining an unknown alias", "carol", "POST join/%23unknown:a.test", `{}`, mxerr.NotFound, 404},
		{"joining what is no room", "carol", "POST join/room", `{}`, mxerr.InvalidParam, 400},
		{"joining again", "bob", "POST rooms/ROOM/join", `{}`, "", 0},
		{"knocking without knocking", "carol", "POST knock/ROOM", `{}`, mxerr.Forbidden, 403},
		{"knocking on an unknown room", "carol", "POST knock/!unknown:a.test", `{}`, mxerr.NotFound, 404},
		{"leaving without being in", "carol", "POST rooms/ROOM/leave", `{}`, mxerr.Forbidden, 403},
		{"leaving an unknown room", "carol", "POST rooms/!unknown:a.test/leave", `{}`, mxerr.Forbidden, 403},
		{"forgetting without leaving", "bob", "POST rooms/ROOM/forget", `{}`, mxerr.Unknown, 400},
		{"forgetting what one was never in", "carol", "POST rooms/ROOM/forget", `{}`, mxerr.Unknown, 400},
		{"inviting without being in", "carol", "POST rooms/ROOM/invite", `{"user_id":"@x:a.test"}`, mxerr.Forbidden, 403},
		{"inviting nobody", "bob", "POST rooms/ROOM/invite", `{}`, mxerr.MissingParam, 400},
		{"inviting what is no user", "bob", "POST rooms/ROOM/invite", `{"user_id":"x"}`, mxerr.BadJSON, 400},
		{"inviting who is in", "bob", "POST rooms/ROOM/invite", `{"user_id":"@alice:a.test"}`, mxerr.Forbidden, 403},
		{"kicking without power", "bob", "POST rooms/ROOM/kick", `{"user_id":"@alice:a.test"}`, mxerr.Forbidden, 403},
		{"kicking who is not in", "alice", "POST rooms/ROOM/kick", `{"user_id":"@carol:a.test"}`, mxerr.Forbidden, 403},
		{"banning without power", "bob", "POST rooms/ROOM/ban", `{"user_id":"@alice:a.test"}`, mxerr.Forbidden, 403},
		{"unbanning who is not banned", "alice", "POST rooms/ROOM/unban", `{"user_id":"@bob:a.test"}`, mxerr.BadState, 403},
		{"banning in an unknown room", "alice", "POST rooms/!unknown:a.test/ban", `{"user_id":"@bob:a.test"}`, mxerr.Forbidden, 403},
		{"banning without saying whom", "alice", "POST rooms/ROOM/ban", `{}`, mxerr.MissingParam, 400},
	})
}

func TestRefusalsOfEvents(t *testing.T) {
	newScene(t).try([]refusal{
		{"sending without being in", "carol", "PUT rooms/ROOM/send/m.room.message/1", `{}`, mxerr.Forbidden, 403},
		{"sending to an unknown room", "carol", "PUT rooms/!unknown:a.test/send/m.room.message/1", `{}`, mxerr.Forbidden, 403},
		{"sending to what is no room", "carol", "PUT rooms/x/send/m.room.message/1", `{}`, mxerr.InvalidParam, 400},
		{"sending nothing", "bob", "PUT rooms/ROOM/send/m.room.message/1", ``, mxerr.NotJSON, 400},
		{"sending with a long transaction ID", "bob", "PUT rooms/ROOM/send/m.room.message/" + strings.Repeat("x", 256), `{}`, mxerr.InvalidParam, 400},
		{"sending a float", "bob", "PUT rooms/ROOM/send/m.room.message/1", `{"x":1.5}`, mxerr.BadJSON, 400},
		{"state without power", "bob", "PUT rooms/ROOM/state/m.room.name", `{"name":"x"}`, mxerr.Forbidden, 403},
		{"state of somebody else", "bob", "PUT rooms/ROOM/state/org.test/@alice:a.test", `{}`, mxerr.Forbidden, 403},
		{"an alias that leads nowhere", "alice", "PUT rooms/ROOM/state/m.room.canonical_alias", `{"alias":"#nowhere:a.test"}`, mxerr.BadAlias, 400},
		{"an alias that is none", "alice", "PUT rooms/ROOM/state/m.room.canonical_alias", `{"alias":"x"}`, mxerr.InvalidParam, 400},
		{"an alias of another room", "alice", "PUT rooms/PRIVATE/state/m.room.canonical_alias", `{"alias":"#room:a.test"}`, mxerr.BadAlias, 400},
		{"redacting what others said", "bob", "PUT rooms/ROOM/redact/EVENT/1", `{}`, mxerr.Forbidden, 403},
		{"redacting without being in", "carol", "PUT rooms/ROOM/redact/EVENT/1", `{}`, mxerr.Forbidden, 403},
		{"redacting what is not there", "bob", "PUT rooms/ROOM/redact/$unknown/1", `{}`, mxerr.NotFound, 404},
		{"an event that is not there", "bob", "GET rooms/ROOM/event/$unknown", ``, mxerr.NotFound, 404},
		{"an event of another room", "bob", "GET rooms/ROOM/event/HIDDEN", ``, mxerr.NotFound, 404},
		{"an event of a room one is not in", "bob", "GET rooms/PRIVATE/event/HIDDEN", ``, mxerr.NotFound, 404},
		{"what is no event", "bob", "GET rooms/ROOM/event/x", ``, mxerr.InvalidParam, 400},
		{"around an event that is not there", "bob", "GET rooms/ROOM/context/$unknown", ``, mxerr.NotFound, 404},
		{"around an event with a bad limit", "bob", "GET rooms/ROOM/context/EVENT?limit=x", ``, mxerr.InvalidParam, 400},
		{"around an event with a bad filter", "bob", "GET rooms/ROOM/context/EVENT?filter=x", ``, mxerr.NotJSON, 400},
		{"state that is not there", "bob", "GET rooms/ROOM/state/org.test", ``, mxerr.NotFound, 404},
		{"state without being in", "bob", "GET rooms/PRIVATE/state/m.room.name", ``, mxerr.Forbidden, 403},
		{"all state without being in", "bob", "GET rooms/PRIVATE/state", ``, mxerr.Forbidden, 403},
		{"state of an unknown room", "bob", "GET rooms/!unknown:a.test/state", ``, mxerr.Forbidden, 403},
		{"state in an unknown format", "bob", "GET rooms/ROOM/state/m.room.create?format=x", ``, mxerr.InvalidParam, 400},
		{"members without being in", "bob", "GET rooms/PRIVATE/members", ``, mxerr.Forbidden, 403},
		{"members of an unknown membership", "bob", "GET rooms/ROOM/members?membership=x", ``, mxerr.InvalidParam, 400},
		{"members at no token", "bob", "GET rooms/ROOM/members?at=x", ``, mxerr.InvalidParam, 400},
		{"joined members without being in", "carol", "GET rooms/ROOM/joined_members", ``, mxerr.Forbidden, 403},
		{"messages without being in", "bob", "GET rooms/PRIVATE/messages?dir=b", ``, mxerr.Forbidden, 403},
		{"messages without a direction", "bob", "GET rooms/ROOM/messages", ``, mxerr.MissingParam, 400},
		{"messages in no direction", "bob", "GET rooms/ROOM/messages?dir=x", ``, mxerr.InvalidParam, 400},
		{"messages with a bad limit", "bob", "GET rooms/ROOM/messages?dir=b&limit=-1", ``, mxerr.InvalidParam, 400},
		{"messages from no token", "bob", "GET rooms/ROOM/messages?dir=b&from=x", ``, mxerr.InvalidParam, 400},
		{"messages to no token", "bob", "GET rooms/ROOM/messages?dir=b&to=x", ``, mxerr.InvalidParam, 400},
		{"messages with a bad filter", "bob", "GET rooms/ROOM/messages?dir=b&filter={", ``, mxerr.NotJSON, 400},
		{"messages with a filter of a wrong type", "bob", `GET rooms/ROOM/messages?dir=b&filter={"types":1}`, ``, mxerr.BadJSON, 400},
		{"a receipt without being in", "carol", "POST rooms/ROOM/receipt/m.read/EVENT", `{}`, mxerr.Forbidden, 403},
		{"a receipt for nothing", "bob", "POST rooms/ROOM/receipt/m.read/$unknown", `{}`, mxerr.NotFound, 404},
		{"a receipt of an unknown type", "bob", "POST rooms/ROOM/receipt/x/EVENT", `{}`, mxerr.InvalidParam, 400},
		{"a receipt in an empty thread", "bob", "POST rooms/ROOM/receipt/m.read/EVENT", `{"thread_id":""}`, mxerr.InvalidParam, 400},
		{"a receipt in no thread", "bob", "POST rooms/ROOM/receipt/m.read/EVENT", `{"thread_id":1}`, mxerr.InvalidParam, 400},
		{"a receipt in a thread that is not there", "bob", "POST rooms/ROOM/receipt/m.read/EVENT", `{"thread_id":"$unknown"}`, mxerr.InvalidParam, 400},
		{"a receipt in the main thread", "bob", "POST rooms/ROOM/receipt/m.read/EVENT", `{"thread_id":"main"}`, "", 0},
		{"a marker without being in", "carol", "POST rooms/ROOM/read_markers", `{"m.fully_read":"EVENT"}`, mxerr.Forbidden, 403},
		{"a marker at nothing", "bob", "POST rooms/ROOM/read_markers", `{"m.fully_read":"$unknown"}`, mxerr.NotFound, 404},
		{"typing without being in", "carol", "PUT rooms/ROOM/typing/@carol:a.test", `{"typing":true}`, mxerr.Forbidden, 403},
		{"typing of others", "bob", "PUT rooms/ROOM/typing/@alice:a.test", `{"typing":true}`, mxerr.Forbidden, 403},
		{"neither typing nor not", "bob", "PUT rooms/ROOM/typing/@bob:a.test", `{}`, mxerr.MissingParam, 400},
	})
}

func TestRefusalsOfSync(t *testing.T) {
	newScene(t).try([]refusal{
		{"a token that is none", "bob", "GET sync?since=x", ``, mxerr.InvalidParam, 400},
		{"a filter that is not there", "bob", "GET sync?filter=999", ``, mxerr.InvalidParam, 400},
		{"a filter that is no JSON", "bob", "GET sync?filter={", ``, mxerr.NotJSON, 400},
		{"a filter of a wrong type", "bob", `GET sync?filter={"room":1}`, ``, mxerr.BadJSON, 400},
		{"no time", "bob", "GET sync?timeout=x", ``, mxerr.InvalidParam, 400},
		{"negative time", "bob", "GET sync?timeout=-1", ``, mxerr.InvalidParam, 400},
		{"neither full state nor not", "bob", "GET sync?full_state=x", ``, mxerr.InvalidParam, 400},
		{"a presence that there is not", "bob", "GET sync?set_presence=x", ``, mxerr.InvalidParam, 400},
		{"a filter without an object", "bob", "POST user/@bob:a.test/filter", ``, mxerr.NotJSON, 400},
		{"a filter of a wrong type", "bob", "POST user/@bob:a.test/filter", `{"room":1}`, mxerr.BadJSON, 400},
		{"a filter of somebody else", "bob", "POST user/@alice:a.test/filter", `{}`, mxerr.Forbidden, 403},
		{"reading a filter that is not there", "bob", "GET user/@bob:a.test/filter/999", ``, mxerr.NotFound, 404},
		{"reading a filter of somebody else", "bob", "GET user/@alice:a.test/filter/1", ``, mxerr.Forbidden, 403},
	})
}

func TestRefusalsOfWhatUsersHave(t *testing.T) {
	const bob = "user/@bob:a.test/"
	s := newScene(t)
	if _, err := s.Accounts().Create(t.Context(), account.NewAccount{Localpart: "gone"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Accounts().Deactivate(t.Context(), "@gone:a.test", false); err != nil {
		t.Fatal(err)
	}
	s.try([]refusal{
		{"account data of somebody else", "bob", "GET user/@alice:a.test/account_data/x", ``, mxerr.Forbidden, 403},
		{"account data that is not there", "bob", "GET " + bob + "account_data/x", ``, mxerr.NotFound, 404},
		{"account data that is no object", "bob", "PUT " + bob + "account_data/x", `[]`, mxerr.BadJSON, 400},
		{"account data that is nothing", "bob", "PUT " + bob + "account_data/x", ``, mxerr.NotJSON, 400},
		{"push rules as account data", "bob", "PUT " + bob + "account_data/m.push_rules", `{}`, mxerr.BadJSON, 405},
		{"the read marker as account data", "bob", "PUT " + bob + "account_data/m.fully_read", `{}`, mxerr.BadJSON, 405},
		{"the read marker as account data of a room", "bob", "PUT " + bob + "rooms/ROOM/account_data/m.fully_read", `{}`, mxerr.BadJSON, 405},
		{"account data of what is no room", "bob", "PUT " + bob + "rooms/x/account_data/x", `{}`, mxerr.InvalidParam, 400},
		{"tags of somebody else", "bob", "GET user/@alice:a.test/rooms/ROOM/tags", ``, mxerr.Forbidden, 403},
		{"an unknown kind of rules", "bob", "GET pushrules/global/x/y", ``, mxerr.InvalidParam, 400},
		{"an unknown rule", "bob", "GET pushrules/global/content/x", ``, mxerr.NotFound, 404},
		{"the actions of an unknown rule", "bob", "PUT pushrules/global/content/x/actions", `{"actions":[]}`, mxerr.NotFound, 404},
		{"whether an unknown rule applies", "bob", "PUT pushrules/global/content/x/enabled", `{"enabled":true}`, mxerr.NotFound, 404},
		{"deleting an unknown rule", "bob", "DELETE pushrules/global/content/x", ``, mxerr.NotFound, 404},
		{"deleting a rule of the server", "bob", "DELETE pushrules/global/override/.m.rule.master", ``, mxerr.InvalidParam, 400},
		{"a rule before an unknown one", "bob", "PUT pushrules/global/content/x?before=y", `{"pattern":"x","actions":[]}`, mxerr.Unknown, 400},
		{"a rule with a name of the server's", "bob", "PUT pushrules/global/content/.x", `{"pattern":"x","actions":[]}`, mxerr.InvalidParam, 400},
		{"a rule without a pattern", "bob", "PUT pushrules/global/content/x", `{"actions":[]}`, mxerr.MissingParam, 400},
		{"a rule without actions", "bob", "PUT pushrules/global/content/x", `{"pattern":"x"}`, mxerr.MissingParam, 400},
		{"a device that is not there", "bob", "GET devices/UNKNOWN", ``, mxerr.NotFound, 404},
		{"a device of somebody else", "bob", "GET devices/DEVICE", ``, mxerr.NotFound, 404},
		{"naming a device that is not there", "bob", "PUT devices/UNKNOWN", `{"display_name":"x"}`, mxerr.NotFound, 404},
		{"a message to no devices", "bob", "PUT sendToDevice/m.test/1", `{}`, mxerr.MissingParam, 400},
		{"a message to what is nobody", "bob", "PUT sendToDevice/m.test/1", `{"messages":{"alice":{"*":{}}}}`, mxerr.InvalidParam, 400},
		{"a message that is no object", "bob", "PUT sendToDevice/m.test/1", `{"messages":{"@alice:a.test":{"*":[]}}}`, mxerr.InvalidParam, 400},
		{"changes of devices since nowhere", "bob", "GET keys/changes?from=x&to=x", ``, mxerr.InvalidParam, 400},
		{"changes of devices since never", "bob", "GET keys/changes?to=x", ``, mxerr.MissingParam, 400},
		{"a sync behind messages that there are not", "bob", "GET sync?since=s1_x_5_y_0_6", ``, mxerr.InvalidParam, 400},
		{"deleting a device without proof", "bob", "DELETE devices/DEVICE", `{}`, "", 401},
		{"a profile of nobody", "", "GET profile/@nobody:a.test", ``, mxerr.NotFound, 404},
		{"a field of a profile that is not there", "", "GET profile/@bob:a.test/avatar_url", ``, mxerr.NotFound, 404},
		{"a profile of somebody else", "bob", "PUT profile/@alice:a.test/displayname", `{"displayname":"x"}`, mxerr.Forbidden, 403},
		{"a profile without the field", "bob", "PUT profile/@bob:a.test/displayname", `{}`, mxerr.MissingParam, 400},
		{"a name that is none", "bob", "PUT profile/@bob:a.test/displayname", `{"displayname":1}`, mxerr.BadJSON, 400},
		{"a picture that is none", "bob", "PUT profile/@bob:a.test/avatar_url", `{"avatar_url":1}`, mxerr.BadJSON, 400},
		{"a field with a long name", "bob", "PUT profile/@bob:a.test/" + strings.Repeat("x", 256), fmt.Sprintf(`{%q:1}`, strings.Repeat("x", 256)), mxerr.KeyTooLarge, 400},
		{"a large profile", "bob", "PUT profile/@bob:a.test/org.x", `{"org.x":"` + strings.Repeat("x", 1<<16) + `"}`, mxerr.ProfileTooLarge, 400},
		{"an alias that is not there", "", "GET directory/room/%23unknown:a.test", ``, mxerr.NotFound, 404},
		{"an alias that is none", "", "GET directory/room/x", ``, mxerr.InvalidParam, 400},
		{"an alias that is taken", "alice", "PUT directory/room/%23room:a.test", `{"room_id":"ROOM"}`, mxerr.Unknown, 409},
		{"an alias for a room one is not in", "bob", "PUT directory/room/%23x:a.test", `{"room_id":"PRIVATE"}`, mxerr.Forbidden, 403},
		{"deleting an alias that is not there", "bob", "DELETE directory/room/%23unknown:a.test", ``, mxerr.NotFound, 404},
		{"deleting an alias of others", "bob", "DELETE directory/room/%23room:a.test", ``, mxerr.Forbidden, 403},
		{"aliases of a room one is not in", "bob", "GET rooms/PRIVATE/aliases", ``, mxerr.Forbidden, 403},
		{"whether an unknown room is listed", "", "GET directory/list/room/!unknown:a.test", ``, mxerr.NotFound, 404},
		{"listing an unknown room", "bob", "PUT directory/list/room/!unknown:a.test", `{"visibility":"public"}`, mxerr.NotFound, 404},
		{"listing a room of others", "bob", "PUT directory/list/room/ROOM", `{"visibility":"public"}`, mxerr.Forbidden, 403},
		{"listed rooms from no token", "", "GET publicRooms?since=x", ``, mxerr.InvalidParam, 400},
		{"listed rooms with a bad limit", "", "GET publicRooms?limit=-1", ``, mxerr.InvalidParam, 400},
		{"an unknown way to log in", "", "POST login", `{"type":"x"}`, mxerr.Unknown, 400},
		{"no way to log in", "", "POST login", `{}`, mxerr.MissingParam, 400},
		{"nobody logs in", "", "POST login", `{"type":"m.login.password","password":"x"}`, mxerr.MissingParam, 400},
		{"a wrong password", "", "POST login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"bob"},"password":"x"}`, mxerr.Forbidden, 403},
		{"nobody there logs in", "", "POST login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"nobody"},"password":"x"}`, mxerr.Forbidden, 403},
		{"somebody of another server logs in", "", "POST login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"@bob:b.test"},"password":"x"}`, mxerr.Forbidden, 403},
		{"logging in by mail", "", "POST login", `{"type":"m.login.password","identifier":{"type":"m.id.thirdparty","medium":"email","address":"x"},"password":"x"}`, mxerr.Forbidden, 403},
		{"a name that is taken", "", "POST register", `{"username":"bob","password":"long enough"}`, mxerr.UserInUse, 400},
		{"a name that was taken", "", "POST register", `{"username":"gone","password":"long enough"}`, mxerr.UserInUse, 400},
		{"a name that is none", "", "POST register", `{"username":"B o b","password":"long enough"}`, mxerr.InvalidUsername, 400},
		{"a weak password", "", "POST register", `{"username":"new","password":"x"}`, mxerr.WeakPassword, 400},
		{"an unknown kind of account", "", "POST register?kind=x", `{}`, mxerr.InvalidParam, 400},
		{"whether a name is free that is not", "", "GET register/available?username=bob", ``, mxerr.UserInUse, 400},
		{"whether no name is free", "", "GET register/available", ``, mxerr.MissingParam, 400},
		{"whether a token that is none is valid", "", "GET /_matrix/client/v1/register/m.login.registration_token/validity", ``, mxerr.MissingParam, 400},
		{"no new password", "bob", "POST account/password", `{}`, mxerr.MissingParam, 400},
		{"a weak new password", "bob", "POST account/password", `{"new_password":"x"}`, mxerr.WeakPassword, 400},
	})
}
