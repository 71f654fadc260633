package killtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"

	"parley/matrix/canonjson"
)

// A keeper edits what a user keeps on the server.
type keeper struct {
	who       *account
	registers []*register
	// filters were acknowledged, by their IDs.
	filters map[string]int
	rooms   []string
}

func newKeeper(v *view, rooms []string) *keeper {
	k := &keeper{who: v.account, filters: make(map[string]int), rooms: rooms}
	a, room := v.account, rooms[0]
	k.json("account data", at("user", a.userID, "account_data", "com.example.note"), "note")
	k.json("account data of a room", at("user", a.userID, "rooms", room, "account_data", "com.example.note"), "note")
	k.named()
	k.json("profile field", at("profile", a.userID, "com.example.field"), "com.example.field")
	k.json("name of a device", at("devices", a.device), "display_name")
	rule := k.json("push rule", at("pushrules", "global", "content", "kill"), "pattern")
	rule.put = func(value string) request {
		return request{"PUT", at("pushrules", "global", "content", "kill"), a.token, object{"pattern": value, "actions": []string{"notify"}}}
	}
	// What is unread must not depend on it.
	count := counter()
	rule.next = func(r *rand.Rand) string { return "unsaid" + count(r) }
	marker := k.json("read marker", at("user", a.userID, "rooms", room, "account_data", "m.fully_read"), "event_id")
	marker.put = func(eventID string) request {
		return request{"POST", at("rooms", room, "read_markers"), a.token, object{"m.fully_read": eventID}}
	}
	marker.next = func(*rand.Rand) string { return v.last(room) }
	k.add(tagRegister(a, room))
	k.add(aliasRegister(a, room))
	for _, room := range rooms {
		k.add(receiptRegister(v, room))
	}
	return k
}

func (k *keeper) add(r *register) *register {
	r.name += " of " + k.who.userID
	k.registers = append(k.registers, r)
	return r
}

// json adds a register that is one member of what is read and written under one
// path.
func (k *keeper) json(name, path, member string) *register {
	return k.add(&register{
		name: name,
		put:  func(value string) request { return request{"PUT", path, k.who.token, object{member: value}} },
		get:  func() request { return request{"GET", path, k.who.token, nil} },
		read: func(v canonjson.Value) string { return text(v, member) },
		next: counter(),
	})
}

// named adds the displayname, which is the localpart at first.
func (k *keeper) named() {
	k.json("displayname", at("profile", k.who.userID, "displayname"), "displayname").value = k.who.name
}

// displayname returns what the user is called.
func (k *keeper) displayname() string { return k.registers[2].value }

// tagRegister is the place of a room among those of a tag.
func tagRegister(a *account, room string) *register {
	path := at("user", a.userID, "rooms", room, "tags")
	next := counter()
	return &register{
		name: "tag",
		put: func(value string) request {
			return request{"PUT", path + "/u.kill", a.token, object{"order": json.Number(value)}}
		},
		get:  func() request { return request{"GET", path, a.token, nil} },
		read: func(v canonjson.Value) string { return string(v.Get("tags").Get("u.kill").Get("order")) },
		next: func(random *rand.Rand) string {
			n, _ := strconv.Atoi(next(random))
			return fmt.Sprintf("0.5%06d1", n) // as it is written canonically
		},
	}
}

// aliasRegister is an alias that is there or not.
func aliasRegister(a *account, room string) *register {
	path := at("directory", "room", "#kill-"+a.name+a.userID[len(a.name)+1:])
	r := &register{
		name: "alias",
		get:  func() request { return request{"GET", path, a.token, nil} },
		read: func(v canonjson.Value) string { return text(v, "room_id") },
	}
	r.put = func(value string) request {
		if value == "" {
			return request{"DELETE", path, a.token, nil}
		}
		return request{"PUT", path, a.token, object{"room_id": room}}
	}
	r.next = func(*rand.Rand) string {
		if r.value == "" {
			return room
		}
		return ""
	}
	return r
}

// receiptRegister is up to where a user has read a room.
func receiptRegister(v *view, room string) *register {
	return &register{
		name: "receipt",
		put: func(eventID string) request {
			return request{"POST", at("rooms", room, "receipt", "m.read", eventID), v.token, object{}}
		},
		inspect: func(s *Snapshot) string { return s.receipt(room, v.userID) },
		next:    func(*rand.Rand) string { return v.last(room) },
	}
}

func (k *keeper) step(sh *shift) error {
	switch sh.random.IntN(10) {
	case 0:
		return k.addFilter(sh)
	case 1:
		// It is not kept, and must not be in the way.
		path := at("rooms", k.rooms[sh.random.IntN(len(k.rooms))], "typing", k.who.userID)
		_, _, err := sh.client.do(request{"PUT", path, k.who.token, object{"typing": true, "timeout": 1000}})
		return err
	}
	if err := k.registers[sh.random.IntN(len(k.registers))].set(sh.client, sh.random); err != nil {
		return err
	}
	sh.acknowledge()
	return nil
}

func (k *keeper) addFilter(sh *shift) error {
	limit := 1 + sh.random.IntN(200)
	answer, err := sh.client.must(request{"POST", at("user", k.who.userID, "filter"), k.who.token, filterOf(limit)})
	if err != nil {
		return err
	}
	k.filters[text(answer, "filter_id")] = limit
	sh.acknowledge()
	return nil
}

func filterOf(limit int) object {
	return object{"room": object{"timeline": object{"limit": limit}}}
}

func (k *keeper) check(c *client) (checked int, err error) {
	for _, r := range k.registers {
		if err := r.check(c); err != nil {
			return checked, err
		}
		checked++
	}
	for filterID, limit := range k.filters {
		body, err := c.must(request{"GET", at("user", k.who.userID, "filter", filterID), k.who.token, nil})
		if err != nil {
			return checked, err
		}
		if got := body.Get("room").Get("timeline").Get("limit"); string(got) != strconv.Itoa(limit) {
			return checked, fmt.Errorf("filter %s of %s has limit %s, want %d", filterID, k.who.name, got, limit)
		}
		checked++
	}
	return checked, nil
}

// newMover moves a guest of rooms in and out of them.
func newMover(guest *view, owners []*account, rooms []string) *keeper {
	k := &keeper{who: guest.account, rooms: rooms}
	k.json("account data", at("user", guest.userID, "account_data", "com.example.note"), "note")
	k.json("account data of a room", at("user", guest.userID, "rooms", rooms[0], "account_data", "com.example.note"), "note")
	k.named()
	for i, room := range rooms {
		k.add(membershipRegister(guest.account, owners[i], room))
	}
	k.filters = make(map[string]int)
	return k
}

// membershipRegister is what a guest is to a room.
func membershipRegister(guest, owner *account, room string) *register {
	r := &register{
		name: "membership",
		get: func() request {
			return request{"GET", at("rooms", room, "state", "m.room.member", guest.userID), owner.token, nil}
		},
		read: func(v canonjson.Value) string { return text(v, "membership") },
	}
	target := object{"user_id": guest.userID}
	r.put = func(value string) request {
		switch {
		case value == "join":
			return request{"POST", at("rooms", room, "join"), guest.token, object{}}
		case value == "leave" && r.value == "ban":
			return request{"POST", at("rooms", room, "unban"), owner.token, target}
		case value == "leave":
			return request{"POST", at("rooms", room, "leave"), guest.token, object{}}
		default:
			return request{"POST", at("rooms", room, value), owner.token, target}
		}
	}
	r.next = func(random *rand.Rand) string {
		choice := map[string][2]string{
			"": {"join", "invite"}, "leave": {"join", "invite"}, "invite": {"join", "leave"}, "join": {"leave", "ban"}, "ban": {"leave", "leave"},
		}[r.value]
		return choice[random.IntN(2)]
	}
	return r
}
