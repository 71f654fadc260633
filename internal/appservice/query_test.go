package appservice_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/hstest"
	"parley/matrix/id"
)

// makes has a bridge make the users and aliases for which it is asked.
func (b *bridge) makes() {
	b.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if name, ok := strings.CutPrefix(r.URL.Path, "/_matrix/app/v1/users/"); ok {
			b.ghost(strings.TrimPrefix(id.UserID(name).Localpart(), "_"+b.name+"_"))
		}
		if name, ok := strings.CutPrefix(r.URL.Path, "/_matrix/app/v1/rooms/"); ok {
			room(b.User, `{"preset":"public_chat","room_alias_name":"`+id.RoomAlias(name).Localpart()+`"}`)
		}
		return false
	})
}

func TestWhatAServiceMakesWhenItIsAskedFor(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		server := s.server(irc)
		alice := server.Register("alice")
		bob := s.Server("b.test").Register("bob")
		irc.makes()
		for _, u := range []*hstest.User{alice, bob} {
			name := u.ID.Localpart()
			if got := u.Must("GET", path("profile", "@_irc_"+name+":a.test"), nil); text(got, "displayname") != "_irc_"+name {
				t.Errorf("%s sees %s", u.ID, got)
			}
			u.Must("POST", path("join", "#_irc_"+name+":a.test"), `{}`)
			in := room(u, `{}`)
			u.Must("POST", path("rooms", in, "invite"), `{"user_id":"@_irc_of_`+name+`:a.test"}`)
			room(u, `{"invite":["@_irc_with_`+name+`:a.test"]}`)
		}
		asked := irc.was()
		slices.Sort(asked)
		want := []string{
			"GET /_matrix/app/v1/rooms/%23_irc_alice%3Aa.test", "GET /_matrix/app/v1/rooms/%23_irc_bob%3Aa.test",
			"GET /_matrix/app/v1/users/@_irc_alice%3Aa.test", "GET /_matrix/app/v1/users/@_irc_bob%3Aa.test",
			"GET /_matrix/app/v1/users/@_irc_of_alice%3Aa.test", "GET /_matrix/app/v1/users/@_irc_of_bob%3Aa.test",
			"GET /_matrix/app/v1/users/@_irc_with_alice%3Aa.test", "GET /_matrix/app/v1/users/@_irc_with_bob%3Aa.test",
		}
		for i, uri := range asked {
			asked[i] = strings.ReplaceAll(uri, ":", "%3A")
		}
		if !slices.Equal(asked, want) {
			t.Errorf("it was asked\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
		}

		alice.Must("GET", path("profile", "@_irc_alice:a.test"), nil)
		expect(s, "nobody's user", alice, "GET", path("profile", "@nobody:a.test"), nil, 404, "M_NOT_FOUND")
		expect(s, "nobody's alias", alice, "GET", path("directory", "room", "#nobody:a.test"), nil, 404, "M_NOT_FOUND")
		if got := irc.was(); len(got) > 0 {
			t.Errorf("for what is there, or not its own, it was asked %s", got)
		}
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"errcode":"M_NOT_FOUND"}`)
			return true
		})
		expect(s, "a user that it does not want", alice, "GET", path("profile", "@_irc_no:a.test"), nil, 404, "M_NOT_FOUND")
		expect(s, "an alias that it does not want", alice, "GET", path("directory", "room", "#_irc_no:a.test"), nil, 404, "M_NOT_FOUND")
	})
}

func TestInvitesOverServersReachGhosts(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		s.server(irc)
		bob := s.Server("b.test").Register("bob")
		irc.makes()
		in := room(bob, `{"name":"Far away"}`)
		bob.Must("POST", path("rooms", in, "invite"), `{"user_id":"@_irc_x:a.test"}`)
		got := events(irc.got(), "events")
		if len(got) != 1 || text(got[0], "sender") != "@bob:b.test" || text(got[0], "state_key") != "@_irc_x:a.test" || text(got[0], "room_id") != in ||
			!strings.Contains(string(got[0].Get("unsigned").Get("invite_room_state")), "Far away") {
			t.Fatalf("of an invite from elsewhere: got %s", got)
		}
		irc.Must("POST", irc.as(path("join", in)+"?via=b.test", "@_irc_x:a.test"), `{}`)
		say(bob, in, "welcome")
		time.Sleep(time.Minute)
		if got := bodies(events(irc.got(), "events")); got != "welcome" {
			t.Errorf("of a room from elsewhere: got %s", got)
		}
	})
}

func TestAServiceThatIsDownIsNotAsked(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		alice := s.server(irc).Register("alice")
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		})
		before := time.Now()
		expect(s, "while it hangs", alice, "GET", path("profile", "@_irc_x:a.test"), nil, 404, "M_NOT_FOUND")
		if took := time.Since(before); took > 30*time.Second {
			t.Errorf("that took %s", took)
		}
		room(irc.User, `{}`) // of which it cannot be told
		time.Sleep(2 * time.Minute)
		before = time.Now()
		expect(s, "when it is known to be down", alice, "GET", path("profile", "@_irc_x:a.test"), nil, 404, "M_NOT_FOUND")
		if took := time.Since(before); took > time.Second {
			t.Errorf("that took %s", took)
		}
	})
}

func TestPing(t *testing.T) {
	scene(t, func(s *stage) {
		irc, mute, gone := s.bridge("irc"), s.bridge("mute", "url: null"), s.bridge("gone", "url: http://nowhere.test")
		alice := s.server(irc, mute, gone).Register("alice")
		ping := func(name string) string { return "/_matrix/client/v1/appservice/" + name + "/ping" }
		var said string
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			body, _ := io.ReadAll(r.Body)
			said += r.URL.Path + " " + string(body)
			time.Sleep(250 * time.Millisecond)
			return false
		})
		if got := irc.Must("POST", ping("irc"), `{"transaction_id":"x"}`); string(got) != `{"duration_ms":250}` || said != `/_matrix/app/v1/ping {"transaction_id":"x"}` {
			t.Errorf("got %s after %s", got, said)
		}
		expect(s, "of another one", irc.User, "POST", ping("mute"), `{}`, 403, "M_FORBIDDEN")
		expect(s, "by a person", alice, "POST", ping("irc"), `{}`, 403, "M_FORBIDDEN")
		expect(s, "without a url", mute.User, "POST", ping("mute"), `{}`, 400, "M_URL_NOT_SET")
		expect(s, "of nowhere", gone.User, "POST", ping("gone"), `{}`, 502, "M_CONNECTION_FAILED")
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "tea")
			return true
		})
		_, answer := irc.Do("POST", ping("irc"), `{}`)
		if n, _ := answer.Get("status").Int(); text(answer, "errcode") != "M_BAD_STATUS" || n != 418 || text(answer, "body") != "tea" {
			t.Errorf("of one who answers otherwise: got %s", answer)
		}
		irc.answers(func(w http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		})
		expect(s, "of one who hangs", irc.User, "POST", ping("irc"), `{}`, 504, "M_CONNECTION_TIMEOUT")
	})
}

func TestThirdPartyNetworks(t *testing.T) {
	scene(t, func(s *stage) {
		one, two, none := s.bridge("one", "protocols: [irc]"), s.bridge("two", "protocols: [irc, odd]"), s.bridge("none")
		alice := s.server(one, two, none).Register("alice")
		for _, b := range []*bridge{one, two, none} {
			b.answers(func(w http.ResponseWriter, r *http.Request) bool {
				switch strings.TrimPrefix(r.URL.Path, "/_matrix/app/v1/thirdparty/") {
				case "protocol/irc":
					fmt.Fprintf(w, `{"user_fields":["nick"],"location_fields":["channel"],"icon":"mxc://a.test/%s","field_types":{},
						"instances":[{"desc":"The net","fields":{},"network_id":"net"},{"nonsense":1}]}`, b.name)
				case "protocol/odd":
					io.WriteString(w, `[1]`)
				case "location/irc":
					fmt.Fprintf(w, `[{"alias":"#%s:a.test","protocol":"irc","fields":{"channel":%q}},7,{"alias":1}]`, b.name, r.URL.Query().Get("channel"))
				case "user":
					fmt.Fprintf(w, `[{"userid":%q,"protocol":"irc","fields":{"nick":"x"}}]`, r.URL.Query().Get("userid"))
				case "location":
					w.WriteHeader(http.StatusNotFound)
					io.WriteString(w, `{"errcode":"M_NOT_FOUND"}`)
				default:
					return false
				}
				return true
			})
		}
		for what, want := range map[string]string{
			"protocols": `{"irc":{"field_types":{},"icon":"mxc://a.test/one","instances":[` +
				`{"desc":"The net","fields":{},"instance_id":"one|net","network_id":"net"},{"desc":"The net","fields":{},"instance_id":"two|net","network_id":"net"}],` +
				`"location_fields":["channel"],"user_fields":["nick"]}}`,
			"location/irc?channel=%23x&other=y": `[{"alias":"#one:a.test","fields":{"channel":"#x"},"protocol":"irc"},{"alias":"#two:a.test","fields":{"channel":"#x"},"protocol":"irc"}]`,
			"user?userid=@_one_x:a.test":        `[{"fields":{"nick":"x"},"protocol":"irc","userid":"@_one_x:a.test"},{"fields":{"nick":"x"},"protocol":"irc","userid":"@_one_x:a.test"}]`,
		} {
			if got := alice.Must("GET", v3+"thirdparty/"+what, nil); string(got) != want {
				t.Errorf("%s: got %s, want %s", what, got, want)
			}
		}
		if got := alice.Must("GET", v3+"thirdparty/protocol/irc", nil); text(got, "icon") != "mxc://a.test/one" {
			t.Errorf("got %s", got)
		}
		for _, what := range []string{"protocol/odd", "protocol/x", "location/odd", "user/irc", "location?alias=%23x:a.test"} {
			expect(s, what, alice, "GET", v3+"thirdparty/"+what, nil, 404, "M_NOT_FOUND")
		}
		expect(s, "no alias", alice, "GET", v3+"thirdparty/location", nil, 400, "M_MISSING_PARAM")
	})
}

func TestPublishedListsOfNetworks(t *testing.T) {
	scene(t, func(s *stage) {
		irc := s.bridge("irc")
		alice := s.server(irc).Register("alice")
		bob := s.Server("b.test").Register("bob")
		public := room(alice, `{"visibility":"public","name":"Public"}`)
		there, other := room(irc.User, `{"preset":"public_chat","name":"There"}`), room(irc.User, `{"preset":"public_chat","name":"Other"}`)
		list := func(network, in string) string { return path("directory", "list", "appservice", network, in) }
		irc.Must("PUT", list("net", there), `{"visibility":"public"}`)
		irc.Must("PUT", list("else", other), `{"visibility":"public"}`)
		irc.Must("PUT", list("else", other), `{"visibility":"public"}`)
		names := func(u *hstest.User, query, q string) string {
			t.Helper()
			var list []string
			answer := u.Must("POST", v3+"publicRooms"+query, q)
			for r := range answer.Get("chunk").Elements() {
				list = append(list, text(r, "name"))
			}
			slices.Sort(list)
			if n, _ := answer.Get("total_room_count_estimate").Int(); int(n) != len(list) {
				t.Errorf("%s: the total is %d of %d", q, n, len(list))
			}
			return strings.Join(list, " ")
		}
		for q, want := range map[string]string{
			`{}`: "Public", `{"third_party_instance_id":"irc|net"}`: "There", `{"third_party_instance_id":"irc|none"}`: "",
			`{"include_all_networks":true}`: "Other Public There", `{"include_all_networks":true,"filter":{"generic_search_term":"ther"}}`: "Other There",
			`{"third_party_instance_id":"irc|net","filter":{"generic_search_term":"ther","room_types":[null]}}`: "There",
		} {
			for u, query := range map[*hstest.User]string{alice: "", bob: "?server=a.test"} {
				if got := names(u, query, q); got != want {
					t.Errorf("%s of %s: got %q, want %q", q, u.ID, got, want)
				}
			}
		}
		irc.Must("PUT", list("net", there), `{"visibility":"private"}`)
		if got := names(alice, "", `{"include_all_networks":true}`); got != "Other Public" {
			t.Errorf("after one was taken out: got %q", got)
		}
		expect(s, "both", alice, "POST", v3+"publicRooms", `{"include_all_networks":true,"third_party_instance_id":"irc|net"}`, 400, "M_INVALID_PARAM")
		expect(s, "by a person", alice, "PUT", list("net", public), `{"visibility":"public"}`, 403, "M_FORBIDDEN")
		expect(s, "no such room", irc.User, "PUT", list("net", "!x:a.test"), `{"visibility":"public"}`, 404, "M_NOT_FOUND")
		expect(s, "no such visibility", irc.User, "PUT", list("net", public), `{"visibility":"x"}`, 400, "M_INVALID_PARAM")
		expect(s, "no visibility", irc.User, "PUT", list("net", public), `{}`, 400, "M_MISSING_PARAM")
		expect(s, "an endless name", irc.User, "PUT", list(url.PathEscape(strings.Repeat("x", 2000)), public), `{"visibility":"public"}`, 400, "M_INVALID_PARAM")
	})
}
