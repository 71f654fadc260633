package remote

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"parley/internal/errand"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

const federation = "/_matrix/federation"

// How much an answer may have, by what is asked for.
const (
	fewEvents  = 8 << 20   // a hundred events of the largest size, and more
	manyEvents = 512 << 20 // the state of a room with hundreds of thousands of members
	manyIDs    = 64 << 20  // of its events, or what authorises one event
	stateTime  = 5 * time.Minute
)

var errShape = errors.New("the answer is not what was asked for")

// Event asks for an event.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1eventeventid
func (s *Servers) Event(ctx context.Context, server id.ServerName, eventID id.EventID) (canonjson.Value, error) {
	answer, err := s.Do(ctx, Call{Server: server, Method: http.MethodGet, Path: Path(federation+"/v1/event", string(eventID))})
	for pdu := range answer.Get("pdus").Elements() {
		return pdu, err
	}
	return nil, errors.Join(err, errShape)
}

// Missing says which events are missing.
type Missing struct {
	// Earliest are the latest that are there, and Latest those that follow missing
	// ones.
	Earliest, Latest []id.EventID
	Limit            int
	MinDepth         int64
}

// MissingEvents asks for events between others, oldest first.
// https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1get_missing_eventsroomid
func (s *Servers) MissingEvents(ctx context.Context, server id.ServerName, roomID id.RoomID, q Missing) ([]canonjson.Value, error) {
	body, err := canonjson.Marshal(struct {
		Earliest []id.EventID `json:"earliest_events"`
		Latest   []id.EventID `json:"latest_events"`
		Limit    int          `json:"limit"`
		MinDepth int64        `json:"min_depth"`
	}{q.Earliest, q.Latest, q.Limit, q.MinDepth})
	if err != nil {
		return nil, err
	}
	answer, err := s.Do(ctx, Call{
		Server: server, Method: http.MethodPost, Path: Path(federation+"/v1/get_missing_events", string(roomID)), Body: body, Limit: fewEvents,
	})
	return elements(answer, "events"), err
}

// Backfill asks for events and what came before them, newest first.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1backfillroomid
func (s *Servers) Backfill(ctx context.Context, server id.ServerName, roomID id.RoomID, from []id.EventID, limit int) ([]canonjson.Value, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	for _, eventID := range from {
		query.Add("v", string(eventID))
	}
	answer, err := s.Do(ctx, Call{
		Server: server, Method: http.MethodGet, Path: Path(federation+"/v1/backfill", string(roomID)), Query: query, Limit: fewEvents,
	})
	return elements(answer, "pdus"), err
}

// StateIDs asks of which events the state before an event, and what authorises it,
// are made.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1state_idsroomid
func (s *Servers) StateIDs(ctx context.Context, server id.ServerName, roomID id.RoomID, at id.EventID) (state, authChain []id.EventID, err error) {
	answer, err := s.Do(ctx, Call{
		Server: server, Method: http.MethodGet, Path: Path(federation+"/v1/state_ids", string(roomID)),
		Query: url.Values{"event_id": {string(at)}}, Timeout: stateTime, Limit: manyIDs,
	})
	return eventIDs(answer, "pdu_ids"), eventIDs(answer, "auth_chain_ids"), err
}

// State asks for the state before an event, and what authorises it, and hands on
// each event as it comes.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1stateroomid
func (s *Servers) State(ctx context.Context, server id.ServerName, roomID id.RoomID, at id.EventID, each Handed) error {
	_, err := s.Stream(ctx, Call{
		Server: server, Method: http.MethodGet, Path: Path(federation+"/v1/state", string(roomID)),
		Query: url.Values{"event_id": {string(at)}}, Timeout: stateTime, Limit: manyEvents,
	}, []string{"pdus", "auth_chain"}, func(list string, pdu canonjson.Value) error { return each(list == "pdus", pdu) })
	return err
}

// A Handed gets the events of a long answer as they come: those that are of a state,
// and those that only authorise others. What it returns ends the call.
type Handed func(inState bool, pdu canonjson.Value) error

// EventAuth asks for what authorises an event.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1event_authroomideventid
func (s *Servers) EventAuth(ctx context.Context, server id.ServerName, roomID id.RoomID, eventID id.EventID) ([]canonjson.Value, error) {
	answer, err := s.Do(ctx, Call{
		Server: server, Method: http.MethodGet, Path: Path(federation+"/v1/event_auth", string(roomID), string(eventID)),
		Timeout: stateTime, Limit: manyIDs,
	})
	return elements(answer, "auth_chain"), err
}

// A Template is an event that another server wants to be signed.
type Template struct {
	Version roomver.Version
	Event   canonjson.Value
}

// Make asks for the template of a membership: join, leave or knock.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_joinroomiduserid
func (s *Servers) Make(ctx context.Context, server id.ServerName, membership string, roomID id.RoomID, user id.UserID, versions []roomver.Version) (Template, error) {
	query := url.Values{}
	for _, version := range versions {
		query.Add("ver", string(version))
	}
	answer, err := s.Do(ctx, Call{
		Server: server, Method: http.MethodGet, Path: Path(federation+"/v1/make_"+membership, string(roomID), string(user)), Query: query, Insist: true,
	})
	if err != nil {
		return Template{}, err
	}
	t := Template{Version: "1", Event: answer.Get("event")}
	if version, ok := answer.Get("room_version").Text(); ok {
		t.Version = roomver.Version(version)
	}
	if t.Event.Kind() != canonjson.Object {
		return t, errShape
	}
	return t, nil
}

// Send hands over an event of a membership that was made of a template: leave or
// knock.
// https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_leaveroomideventid
func (s *Servers) Send(ctx context.Context, server id.ServerName, membership string, roomID id.RoomID, eventID id.EventID, event canonjson.Value) (canonjson.Value, error) {
	version := "/v2"
	if membership == "knock" {
		version = "/v1"
	}
	return s.Do(ctx, Call{
		Server: server, Method: http.MethodPut, Path: Path(federation+version+"/send_"+membership, string(roomID), string(eventID)),
		Body: event, Insist: true, Limit: fewEvents,
	})
}

// A Joined is what a server says of a join that it has taken, beside the state.
type Joined struct {
	// Event is the join, with that server's signature where it needs one; nil if it
	// does not say.
	Event canonjson.Value
	// Partial says that member events are left out of the state that nobody needs to
	// check the rest. Servers are those in the room then.
	Partial bool
	Servers []id.ServerName
}

// mostServers is how many servers of a room another one can tell of.
const mostServers = 100_000

// Join hands over a join that was made of a template, and hands on each event of
// the answer as it comes. Members may be left out of the state.
// https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid
func (s *Servers) Join(ctx context.Context, server id.ServerName, roomID id.RoomID, eventID id.EventID, event canonjson.Value, each Handed) (Joined, error) {
	var j Joined
	rest, err := s.Stream(ctx, Call{
		Server: server, Method: http.MethodPut, Path: Path(federation+"/v2/send_join", string(roomID), string(eventID)),
		Query: url.Values{"omit_members": {"true"}}, Body: event, Insist: true, Timeout: stateTime, Limit: manyEvents,
	}, []string{"state", "auth_chain", "servers_in_room"}, func(list string, element canonjson.Value) error {
		if list != "servers_in_room" {
			return each(list == "state", element)
		}
		text, _ := element.Text()
		if server, err := id.ParseServerName(text); err == nil && len(j.Servers) < mostServers {
			j.Servers = append(j.Servers, server)
		}
		return nil
	})
	if event := rest.Get("event"); event.Kind() == canonjson.Object {
		j.Event = event
	}
	j.Partial = rest.Get("members_omitted").True()
	return j, err
}

// Directory asks the server of an alias for its room, and the servers that are in it.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1querydirectory
func (s *Servers) Directory(ctx context.Context, alias id.RoomAlias) (id.RoomID, []id.ServerName, error) {
	answer, err := s.Do(ctx, Call{
		Server: alias.Server(), Method: http.MethodGet, Path: federation + "/v1/query/directory",
		Query: url.Values{"room_alias": {string(alias)}}, Insist: true,
	})
	if err != nil {
		return "", nil, err
	}
	text, _ := answer.Get("room_id").Text()
	roomID, err := id.ParseRoomID(text)
	if err != nil {
		return "", nil, errors.Join(errShape, err)
	}
	var servers []id.ServerName
	for element := range answer.Get("servers").Elements() {
		text, _ := element.Text()
		if server, err := id.ParseServerName(text); err == nil {
			servers = append(servers, server)
		}
	}
	if !slices.Contains(servers, alias.Server()) {
		servers = append(servers, alias.Server())
	}
	return roomID, servers, nil
}

// Invite is what a server gets whose user is invited.
type Invite struct {
	Event   canonjson.Value   `json:"event"`
	Preview []canonjson.Value `json:"invite_room_state"`
	Version roomver.Version   `json:"room_version"`
}

// Invite shows an invite to the server of the user who is invited, and returns it
// with that server's signature.
// https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2inviteroomideventid
func (s *Servers) Invite(ctx context.Context, server id.ServerName, roomID id.RoomID, eventID id.EventID, invite Invite) (canonjson.Value, error) {
	body, err := canonjson.Marshal(invite)
	if err != nil {
		return nil, err
	}
	answer, err := s.Do(ctx, Call{
		Server: server, Method: http.MethodPut, Path: Path(federation+"/v2/invite", string(roomID), string(eventID)), Body: body, Insist: true,
	})
	return answer.Get("event"), err
}

// Exchange asks the server of who has left an invite for an address to make one of it
// for the user who has the address. It sends that invite before it answers.
// https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1exchange_third_party_inviteroomid
func (s *Servers) Exchange(ctx context.Context, server id.ServerName, roomID id.RoomID, invite canonjson.Value) error {
	_, err := s.Do(ctx, Call{
		Server: server, Method: http.MethodPut, Path: Path(federation+"/v1/exchange_third_party_invite", string(roomID)), Body: invite, Insist: true,
	})
	return err
}

// Sign asks the policy server of a room to sign an event, and returns the signatures
// by the names of servers. If somebody waits for it, that is insisted on.
// https://spec.matrix.org/v1.19/server-server-api/#post_matrixpolicyv1sign
func (s *Servers) Sign(ctx context.Context, policy id.ServerName, event canonjson.Value, insist bool) (canonjson.Value, error) {
	return s.Do(ctx, Call{Server: policy, Method: http.MethodPost, Path: "/_matrix/policy/v1/sign", Body: event, Insist: insist})
}

func elements(answer canonjson.Value, name string) (list []canonjson.Value) {
	for element := range answer.Get(name).Elements() {
		list = append(list, element)
	}
	return list
}

func eventIDs(answer canonjson.Value, name string) (list []id.EventID) {
	for element := range answer.Get(name).Elements() {
		text, _ := element.Text()
		if eventID, err := id.ParseEventID(text); err == nil {
			list = append(list, eventID)
		}
	}
	return list
}

// moreKeys is how much an answer about keys may have: those of thousands of
// devices.
const moreKeys = 32 << 20

// QueryKeys asks a server for the keys of its users: of some devices, or of all if
// there are none.
// https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysquery
func (s *Servers) QueryKeys(ctx context.Context, server id.ServerName, users map[id.UserID][]id.DeviceID) (canonjson.Value, error) {
	return s.aboutKeys(ctx, server, "query", "device_keys", users)
}

// ClaimKeys claims a key of an algorithm for each of some devices.
// https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1userkeysclaim
func (s *Servers) ClaimKeys(ctx context.Context, server id.ServerName, wanted map[id.UserID]map[id.DeviceID]string) (canonjson.Value, error) {
	return s.aboutKeys(ctx, server, "claim", "one_time_keys", wanted)
}

// For how long is waited before a server is asked about keys again, at first and in
// the end.
const (
	keysPause     = 250 * time.Millisecond
	lastKeysPause = 4 * time.Second
)

// aboutKeys asks again while the context has time, and even if the server is left
// alone at present, as long as it may be about to be back: a message is never read
// by a device whose key was not to be had when it was sent. If a claim was answered and
// the answer is lost, so are the keys in it; the devices have more.
func (s *Servers) aboutKeys(ctx context.Context, server id.ServerName, what, member string, of any) (canonjson.Value, error) {
	body, err := canonjson.Marshal(map[string]any{member: of})
	if err != nil {
		return nil, err
	}
	call := Call{Server: server, Method: http.MethodPost, Path: federation + "/v1/user/keys/" + what, Body: body, Limit: moreKeys}
	for pause := keysPause; ; pause *= 2 {
		call.Insist = s.health.Lately(server)
		answer, err := s.Do(ctx, call)
		if err == nil || !s.health.Lately(server) || !mayPass(err) || pause > lastKeysPause || !waits(ctx, pause) {
			return answer, err
		}
	}
}

// mayPass reports whether a server that is started anew may have been asked: what
// stands before it says so itself, or nobody answered who has a name.
func mayPass(err error) bool {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return refusal.Status >= http.StatusBadGateway && refusal.Status <= http.StatusGatewayTimeout
	}
	unknown, ok := errors.AsType[*net.DNSError](err)
	return !ok || !unknown.IsNotFound
}

// waits waits for a time, and reports whether the context has that, and more.
func waits(ctx context.Context, pause time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
		return false
	}
	return errand.Pause(ctx, pause)
}
