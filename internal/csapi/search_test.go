package csapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parley/internal/hstest"
	"parley/matrix/canonjson"
)

// search searches for a term, with what else parts say of the criteria.
func (s *scene) search(u *hstest.User, term string, parts ...string) canonjson.Value {
	s.Helper()
	return s.searchFrom(u, "", term, parts...)
}

func (s *scene) searchFrom(u *hstest.User, token, term string, parts ...string) canonjson.Value {
	s.Helper()
	path := "/_matrix/client/v3/search"
	if token != "" {
		path += "?next_batch=" + url.QueryEscape(token)
	}
	criteria := append([]string{`"search_term":` + string(canonjson.Text(term))}, parts...)
	answer := u.Must("POST", path, `{"search_categories":{"room_events":{`+strings.Join(criteria, ",")+`}}}`)
	return answer.Get("search_categories").Get("room_events")
}

const recent = `"order_by":"recent"`

// found returns the names of the events that are found, the latest first.
func (s *scene) found(u *hstest.User, term string, parts ...string) []string {
	s.Helper()
	return s.results(s.search(u, term, append(parts, recent)...))
}

func (s *scene) results(answer canonjson.Value) []string {
	names := []string{}
	for r := range answer.Get("results").Elements() {
		eventID := text(r, "result", "event_id")
		name, ok := s.names[eventID]
		if !ok {
			name = text(r, "result", "type")
		}
		names = append(names, name)
	}
	return names
}

// enter makes another room the one of the scene, in which users are.
func (s *scene) enter(creator *hstest.User, body string, others ...*hstest.User) (before string) {
	s.Helper()
	before = s.room
	s.room = text(creator.Must("POST", "/_matrix/client/v3/createRoom", body), "room_id")
	for _, u := range others {
		u.Must("POST", s.path("v3", "join"), `{}`)
	}
	return before
}

func TestMessagesAreFound(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "The quick brown fox")
	s.say(s.bob, "jumps over the lazy dog")
	s.say(s.alice, "昨日、東京タワーに行った")
	s.say(s.bob, "Crème brûlée, OK?")
	s.send(s.alice, "notice", "m.room.message", `{"msgtype":"m.notice","body":"a quick note"}`)
	s.send(s.alice, "picture", "m.room.message", `{"msgtype":"m.image","body":"fox.jpg","url":"mxc://a.test/fox"}`)
	s.send(s.alice, "other", "org.test.other", `{"body":"a quick other"}`)
	s.send(s.alice, "secret", "m.room.encrypted", `{"algorithm":"m.megolm.v1.aes-sha2","body":"quick"}`)
	s.send(s.alice, "not text", "m.room.message", `{"msgtype":"m.text","body":{"quick":1}}`)
	s.name("topic", text(s.alice.Must("PUT", s.path("v3", "state", "m.room.topic"), `{"topic":"Of animals that are quick"}`), "event_id"))
	s.name("name", text(s.alice.Must("PUT", s.path("v3", "state", "m.room.name"), `{"name":"The quick room"}`), "event_id"))
	for _, row := range []struct {
		name, term string
		parts      string
		want       string
	}{
		{"a word", "brown", "", "[The quick brown fox]"},
		{"a part of a word", "row", "", "[The quick brown fox]"},
		{"whatever the case", "QUICK", "", "[name topic notice The quick brown fox]"},
		{"several words", "lazy jumps", "", "[jumps over the lazy dog]"},
		{"words of several messages", "lazy fox", "", "[]"},
		{"a phrase", `"brown fox"`, "", "[The quick brown fox]"},
		{"a phrase in another order", `"fox brown"`, "", "[]"},
		{"without accents", "creme", "", "[Crème brûlée, OK?]"},
		{"two letters", "ok", "", "[Crème brûlée, OK?]"},
		{"two characters", "東京", "", "[昨日、東京タワーに行った]"},
		{"one character", "行", "", "[昨日、東京タワーに行った]"},
		{"characters that do not stand together", "東タ", "", "[]"},
		{"what nobody said", "elephant", "", "[]"},
		{"nothing", "", "", "[]"},
		{"what is no word", "?!", "", "[]"},
		{"in bodies", "quick", `"keys":["content.body"]`, "[notice The quick brown fox]"},
		{"in names", "quick", `"keys":["content.name"]`, "[name]"},
		{"in names and topics", "quick", `"keys":["content.name","content.topic"]`, "[name topic]"},
		{"in no list", "quick", `"keys":[]`, "[name topic notice The quick brown fox]"},
		{"of a sender", "the", `"filter":{"senders":["@bob:a.test"]}`, "[jumps over the lazy dog]"},
		{"not of a sender", "the", `"filter":{"not_senders":["@bob:a.test"]}`, "[name The quick brown fox]"},
		{"of a type", "quick", `"filter":{"types":["m.room.topic"]}`, "[topic]"},
		{"with a URL", "fox", `"filter":{"contains_url":true}`, "[picture]"},
		{"without one", "fox", `"filter":{"contains_url":false}`, "[The quick brown fox]"},
		{"in this room", "fox", fmt.Sprintf(`"filter":{"rooms":[%q]}`, s.room), "[picture The quick brown fox]"},
		{"not in this room", "fox", fmt.Sprintf(`"filter":{"not_rooms":[%q]}`, s.room), "[]"},
		{"in another room", "fox", `"filter":{"rooms":["!other:a.test"]}`, "[]"},
		{"one only", "quick", `"filter":{"limit":1}`, "[name]"},
		{"with a filter that is null", "brown", `"filter":null`, "[The quick brown fox]"},
	} {
		var parts []string
		if row.parts != "" {
			parts = append(parts, row.parts)
		}
		s.same(row.name, s.found(s.alice, row.term, parts...), row.want)
	}
	s.same("for who is not in the room", s.found(s.carol, "quick"), "[]")
	answer := s.search(s.alice, `The "Lazy"`)
	s.same("the highlights", string(answer.Get("highlights")), `["the","lazy"]`)
	s.same("the count", string(answer.Get("count")), "1")
}

func TestWhatRelatesDecidesWhereTheFilterSaysSo(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "a plain word")
	s.say(s.alice, "a liked word")
	s.send(s.bob, "like", "m.reaction", s.content("", "m.annotation", "a liked word", "+"))
	s.same("by whom", s.found(s.alice, "word", `"filter":{"related_by_senders":["@bob:a.test"]}`), "[a liked word]")
	s.same("by nobody", s.found(s.alice, "word", `"filter":{"related_by_senders":["@carol:a.test"]}`), "[]")
}

func TestTheBestResultsComeFirst(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "cat")
	s.say(s.alice, "concatenate")
	s.say(s.alice, "a cat that sat for a long time on a mat that was not made for cats but for dogs and others")
	s.say(s.alice, "category")
	s.say(s.alice, "dog")
	s.same("by rank", s.results(s.search(s.alice, "cat")),
		"[cat category a cat that sat for a long time on a mat that was not made for cats but for dogs and others concatenate]")
	s.same("the latest", s.results(s.search(s.alice, "cat", recent)),
		"[category a cat that sat for a long time on a mat that was not made for cats but for dogs and others concatenate cat]")
	last := int64(1 << 40)
	for r := range s.search(s.alice, "cat").Get("results").Elements() {
		rank, ok := r.Get("rank").Int()
		if !ok || rank <= 0 || rank > last {
			t.Errorf("a result has rank %s after one of %d", r.Get("rank"), last)
		}
		last = rank
	}
}

func TestResultsComeInPages(t *testing.T) {
	s := newScene(t)
	var want []string
	for i := range 25 {
		s.say(s.alice, fmt.Sprint("number ", i))
		want = append([]string{fmt.Sprint("number ", i)}, want...)
	}
	for _, order := range []string{"recent", "rank"} {
		var got []string
		token := ""
		for page := 0; page == 0 || token != ""; page++ {
			answer := s.searchFrom(s.bob, token, "number", `"order_by":"`+order+`"`)
			list := s.results(answer)
			if len(list) > 10 || page > 2 || string(answer.Get("count")) != "25" {
				t.Fatalf("page %d has %d results of %s", page, len(list), answer.Get("count"))
			}
			got, token = append(got, list...), text(answer, "next_batch")
			if page == 0 {
				s.say(s.alice, "a late number "+order) // which comes too late
				want := []string{"a late number " + order}
				s.same("now", s.found(s.bob, `"late number `+order+`"`), want)
			}
		}
		if order == "rank" {
			// It is as good as the others, but for those that are shorter.
			slices.Sort(got)
			slices.Sort(want)
			got = slices.DeleteFunc(got, func(name string) bool { return strings.HasPrefix(name, "a late") })
		}
		s.same(order, got, want)
		s.redact(s.alice, "a late number "+order)
	}
	s.refused("a token of the other order", s.bob, "POST", "/_matrix/client/v3/search?next_batch="+text(s.search(s.bob, "number", recent), "next_batch"),
		`{"search_categories":{"room_events":{"search_term":"number"}}}`, 400, "M_INVALID_PARAM")
}

func TestResultsAreGrouped(t *testing.T) {
	s := newScene(t)
	first := s.room
	for i := range 6 {
		s.say(s.alice, fmt.Sprint("one word ", i))
		s.say(s.bob, fmt.Sprint("two words ", i))
	}
	s.enter(s.alice, `{"preset":"public_chat"}`, s.bob)
	for i := range 3 {
		s.say(s.bob, fmt.Sprint("other words ", i))
	}
	grouped := `"groupings":{"group_by":[{"key":"room_id"},{"key":"sender"}]}`
	answer := s.search(s.alice, "word", recent, grouped)
	group := func(answer canonjson.Value, key, value string) (names []string) {
		for eventID := range answer.Get("groups").Get(key).Get(value).Get("results").Elements() {
			id, _ := eventID.Text()
			names = append(names, s.names[id])
		}
		return names
	}
	s.same("in the second room", group(answer, "room_id", s.room), "[other words 2 other words 1 other words 0]")
	s.same("in the first", group(answer, "room_id", first), "[two words 5 one word 5 two words 4 one word 4 two words 3 one word 3 two words 2]")
	s.same("of alice", group(answer, "sender", "@alice:a.test"), "[one word 5 one word 4 one word 3]")
	s.same("their order", string(answer.Get("groups").Get("room_id").Get(first).Get("order")), "1")
	token := text(answer.Get("groups").Get("sender").Get("@alice:a.test"), "next_batch")
	s.same("more of alice", s.results(s.searchFrom(s.alice, token, "word", recent, grouped)), "[one word 2 one word 1 one word 0]")
	token = text(answer.Get("groups").Get("room_id").Get(s.room), "next_batch")
	more := s.searchFrom(s.alice, token, "word", recent, grouped)
	s.same("more of the second room", s.results(more), "[]")
	s.same("and no more", text(more, "next_batch"), "")
	s.same("not grouped", s.search(s.alice, "word").Get("groups") == nil, true)
}

func TestResultsHaveTheirContext(t *testing.T) {
	s := newScene(t)
	for i := range 8 {
		s.say(s.bob, fmt.Sprint("before ", i))
	}
	s.say(s.alice, "the needle")
	s.bob.Must("PUT", "/_matrix/client/v3/profile/@bob:a.test/displayname", `{"displayname":"Robert"}`)
	for i := range 8 {
		s.say(s.bob, fmt.Sprint("after ", i))
	}
	answer := s.search(s.bob, "needle", `"event_context":{"include_profile":true}`, `"include_state":true`)
	var around canonjson.Value
	for r := range answer.Get("results").Elements() {
		around = r.Get("context")
	}
	s.same("before it", s.brief(around.Get("events_before")), "[before 7 before 6 before 5 before 4 before 3]")
	s.same("behind it", s.brief(around.Get("events_after"))[1:], "[after 0 after 1 after 2 after 3]")
	s.same("how bob was called", text(around, "profile_info", "@bob:a.test", "displayname"), "bob")
	s.same("how alice was called", text(around, "profile_info", "@alice:a.test", "displayname"), "alice")
	more := s.bob.Must("GET", s.path("v3", "messages")+"?dir=b&limit=2&from="+url.QueryEscape(text(around, "start")), nil)
	s.same("further back", s.brief(more.Get("chunk")), "[before 2 before 1]")
	more = s.bob.Must("GET", s.path("v3", "messages")+"?dir=f&limit=2&from="+url.QueryEscape(text(around, "end")), nil)
	s.same("further on", s.brief(more.Get("chunk")), "[after 4 after 5]")
	types := s.brief(answer.Get("state").Get(s.room))
	if !slices.Contains(types, "m.room.create") || !slices.Contains(types, "m.room.power_levels") {
		t.Errorf("the state is %v", types)
	}
	answer = s.search(s.bob, "needle", `"event_context":{"before_limit":1,"after_limit":0}`)
	for r := range answer.Get("results").Elements() {
		s.same("one before it", s.brief(r.Get("context").Get("events_before")), "[before 7]")
		s.same("none behind it", s.brief(r.Get("context").Get("events_after")), "[]")
		s.same("no profiles", r.Get("context").Get("profile_info") == nil, true)
	}
}

func TestTheNewestTextOfAnEventIsFound(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "original")
	s.say(s.alice, "better", "m.replace", "original")
	s.say(s.bob, "foreign", "m.replace", "original")
	s.same("the old text", s.found(s.bob, "original"), "[]")
	s.same("the new one", s.found(s.bob, "better"), "[original]")
	s.same("that of somebody else", s.found(s.bob, "foreign"), "[]")
	s.say(s.alice, "best", "m.replace", "original")
	s.same("the one before", s.found(s.bob, "better"), "[]")
	s.same("the newest", s.found(s.bob, "best"), "[original]")
	s.redact(s.alice, "best")
	s.same("when that is redacted", s.found(s.bob, "best"), "[]")
	s.same("the one before is it again", s.found(s.bob, "better"), "[original]")
	s.redact(s.alice, "better")
	s.same("when all are", s.found(s.bob, "original"), "[original]")
	s.redact(s.alice, "original")
	s.same("when it is itself", s.found(s.bob, "original"), "[]")
}

func TestOfARepliesOnlyWhatItSaysIsFound(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "question")
	s.send(s.bob, "reply", "m.room.message", string(canonjson.Value(`{"msgtype":"m.text"}`).
		With("body", canonjson.Text("> <@alice:a.test> question\n\nanswer")).
		With("m.relates_to", canonjson.Value(`{"m.in_reply_to":{"event_id":"`+s.id("question")+`"}}`))))
	s.same("what it repeats", s.found(s.alice, "question"), "[question]")
	s.same("what it says", s.found(s.alice, "answer"), "[reply]")
}

func TestNobodyFindsWhatTheyMayNotSee(t *testing.T) {
	s := newScene(t)
	visibility := func(v string) {
		s.alice.Must("PUT", s.path("v3", "state", "m.room.history_visibility"), fmt.Sprintf(`{"history_visibility":%q}`, v))
	}
	s.say(s.alice, "shared word")
	visibility("joined")
	s.say(s.alice, "word for members")
	s.carol.Must("POST", s.path("v3", "join"), `{}`)
	s.say(s.alice, "word for carol")
	s.same("who came later", s.found(s.carol, "word"), "[word for carol shared word]")
	s.say(s.alice, "word that changes")
	s.carol.Must("POST", s.path("v3", "leave"), `{}`)
	s.say(s.alice, "word behind her back")
	s.say(s.alice, "secret", "m.replace", "word that changes")
	s.same("who left", s.found(s.carol, "word"), "[word for carol shared word]")
	s.same("what was changed behind her back", s.found(s.carol, "secret"), "[]")
	s.same("that for who is there", s.found(s.bob, "secret"), "[word that changes]")
	answer := s.search(s.carol, "word", recent, `"event_context":{}`, `"include_state":true`)
	for r := range answer.Get("results").Elements() {
		for e := range r.Get("context").Get("events_after").Elements() {
			if body := text(e, "content", "body"); strings.Contains(body, "behind") || strings.Contains(body, "secret") {
				t.Errorf("the context shows %s", e)
			}
		}
	}
	s.same("the count", string(answer.Get("count")), "2")
	s.carol.Must("POST", s.path("v3", "forget"), `{}`)
	s.same("who forgot the room", s.found(s.carol, "word"), "[]")
	s.bob.Must("PUT", "/_matrix/client/v3/user/@bob:a.test/account_data/m.ignored_user_list", `{"ignored_users":{"@alice:a.test":{}}}`)
	s.say(s.bob, "word of bob")
	s.same("who ignores the sender", s.found(s.bob, "word"), "[word of bob]")
}

func TestAReplacedRoomIsSearchedWithItsReplacement(t *testing.T) {
	s := newScene(t)
	s.say(s.alice, "old word")
	other := s.enter(s.alice, `{}`)
	s.say(s.alice, "other word")
	s.room = other
	s.room = text(s.alice.Must("POST", s.path("v3", "upgrade"), `{"new_version":"11"}`), "replacement_room")
	s.say(s.alice, "new word")
	s.bob.Must("POST", s.path("v3", "join"), `{}`)
	here := fmt.Sprintf(`"filter":{"rooms":[%q]}`, s.room)
	s.same("for who was in both", s.found(s.bob, "word", here), "[new word old word]")
	s.same("but not where it is excluded", s.found(s.bob, "word", fmt.Sprintf(`"filter":{"rooms":[%q],"not_rooms":[%q]}`, s.room, other)), "[new word]")
	s.carol.Must("POST", s.path("v3", "join"), `{}`)
	s.same("for who was in the new one only", s.found(s.carol, "word", here), "[new word]")
	s.same("the old one alone", s.found(s.bob, "word", fmt.Sprintf(`"filter":{"rooms":[%q]}`, other)), "[old word]")
}

func TestSearchesThatMakeNoSenseAreRefused(t *testing.T) {
	s := newScene(t)
	for _, row := range []struct{ name, query, body, code string }{
		{"without a category", "", `{}`, "M_MISSING_PARAM"},
		{"without a term", "", `{"search_categories":{"room_events":{}}}`, "M_MISSING_PARAM"},
		{"of no text", "", `{"search_categories":{"room_events":{"search_term":5}}}`, "M_BAD_JSON"},
		{"in an unknown key", "", `{"search_categories":{"room_events":{"search_term":"a","keys":["content.url"]}}}`, "M_INVALID_PARAM"},
		{"in an unknown order", "", `{"search_categories":{"room_events":{"search_term":"a","order_by":"random"}}}`, "M_INVALID_PARAM"},
		{"in unknown groups", "", `{"search_categories":{"room_events":{"search_term":"a","groupings":{"group_by":[{"key":"type"}]}}}}`, "M_INVALID_PARAM"},
		{"by a filter that is none", "", `{"search_categories":{"room_events":{"search_term":"a","filter":[]}}}`, "M_BAD_JSON"},
		{"with a negative context", "", `{"search_categories":{"room_events":{"search_term":"a","event_context":{"before_limit":-1}}}}`, "M_INVALID_PARAM"},
		{"behind a strange token", "?next_batch=xyz", `{"search_categories":{"room_events":{"search_term":"a"}}}`, "M_INVALID_PARAM"},
		{"behind one that looks well", "?next_batch=s1_dHJ1ZSAw", `{"search_categories":{"room_events":{"search_term":"a","order_by":"recent"}}}`, "M_INVALID_PARAM"},
	} {
		s.refused(row.name, s.alice, "POST", "/_matrix/client/v3/search"+row.query, row.body, 400, row.code)
	}
	answer := s.alice.Must("POST", "/_matrix/client/v3/search", `{"search_categories":{}}`)
	s.same("nothing is asked for", string(answer), `{"search_categories":{}}`)
	s.same("a term with NUL", s.found(s.alice, "a\x00b"), "[]")
}

func TestWhatIsSaidIsFoundAtOnce(t *testing.T) {
	s := newScene(t)
	for i := range 20 {
		body := fmt.Sprint("message ", i, " of many")
		s.say(s.alice, body)
		s.same(body, s.found(s.bob, fmt.Sprintf(`"message %d of"`, i)), "["+body+"]")
	}
}
