package loadgen

import (
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// routes are what the neighbours answer:
// https://spec.matrix.org/v1.19/server-server-api/
func (n *neighbours) routes() http.Handler {
	const v1, v2 = "/_matrix/federation/v1", "/_matrix/federation/v2"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_matrix/key/v2/server", n.tellKeys)
	mux.HandleFunc("PUT "+v1+"/send/{txn}", n.take)
	mux.HandleFunc("GET "+v1+"/make_join/{room}/{user}", n.in((*farRoom).makeJoin))
	mux.HandleFunc("PUT "+v2+"/send_join/{room}/{event}", n.in((*farRoom).sendJoin))
	mux.HandleFunc("GET "+v1+"/state/{room}", n.in((*farRoom).tellState))
	mux.HandleFunc("GET "+v1+"/state_ids/{room}", n.in((*farRoom).tellStateIDs))
	mux.HandleFunc("GET "+v1+"/event_auth/{room}/{event}", n.in((*farRoom).tellAuth))
	mux.HandleFunc("GET "+v1+"/backfill/{room}", n.in((*farRoom).tellPast))
	mux.HandleFunc("POST "+v1+"/get_missing_events/{room}", n.in((*farRoom).tellMissing))
	mux.HandleFunc("GET "+v1+"/event/{event}", n.tellEvent)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { deny(w) })
	return mux
}

func deny(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	io.WriteString(w, `{"errcode":"M_NOT_FOUND","error":"There is no such thing here"}`)
}

// in finds the room of a request.
func (n *neighbours) in(do func(*farRoom, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		room := n.rooms[id.RoomID(r.PathValue("room"))]
		n.mu.Unlock()
		if room == nil {
			deny(w)
			return
		}
		do(room, w, r)
	}
}

func (n *neighbours) tellKeys(w http.ResponseWriter, r *http.Request) {
	keys := n.published[id.ServerName(r.Host)]
	if keys == nil {
		deny(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(keys)
}

// take takes a transaction.
func (n *neighbours) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		deny(w)
		return
	}
	at := time.Now()
	n.mu.Lock()
	heard := n.heard
	n.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"pdus":{}}`)
	heard(id.ServerName(r.Host), body, at)
}

func (n *neighbours) tellEvent(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, room := range n.rooms {
		if e := room.find(id.EventID(r.PathValue("event"))); e != nil {
			a := newAnswer(w)
			a.list("pdus", slices.Values([]canonjson.Value{e.JSON()}))
			a.end()
			return
		}
	}
	deny(w)
}

func (f *farRoom) makeJoin(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	join, err := f.tip.build(event.TypeMember, text(r.PathValue("user")), id.UserID(r.PathValue("user")), canonjson.Value(joinContent))
	if err != nil {
		deny(w)
		return
	}
	a := newAnswer(w)
	a.value("event", join.JSON().Without("signatures", "hashes"))
	a.value("room_version", canonjson.Text(string(f.rules.Version)))
	a.end()
}

func (f *farRoom) sendJoin(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		deny(w)
		return
	}
	join, err := event.Parse(body, f.rules)
	if err != nil {
		deny(w)
		return
	}
	f.mu.Lock()
	omit := !f.whole && r.URL.Query().Get("omit_members") == "true"
	state := f.events(!omit)
	f.tip.add(join)
	f.mu.Unlock()
	a := newAnswer(w)
	a.list("auth_chain", none)
	a.value("event", join.JSON())
	if omit {
		a.value("members_omitted", canonjson.Value("true"))
	}
	a.list("servers_in_room", func(yield func(canonjson.Value) bool) {
		for _, server := range f.servers {
			if !yield(canonjson.Text(string(server))) {
				return
			}
		}
	})
	a.list("state", pdus(state))
	a.end()
}

func none(func(canonjson.Value) bool) {}

func pdus(events []*event.Event) iter.Seq[canonjson.Value] {
	return func(yield func(canonjson.Value) bool) {
		for _, e := range events {
			if !yield(e.JSON()) {
				return
			}
		}
	}
}

func ids(events []*event.Event) iter.Seq[canonjson.Value] {
	return func(yield func(canonjson.Value) bool) {
		for _, e := range events {
			if !yield(canonjson.Text(string(e.ID()))) {
				return
			}
		}
	}
}

// tellState tells of the state that a user of the measured server found, whenever
// it is asked for.
func (f *farRoom) tellState(w http.ResponseWriter, _ *http.Request) {
	a := newAnswer(w)
	a.list("auth_chain", pdus(f.events(false)))
	a.list("pdus", pdus(f.events(true)))
	a.end()
}

func (f *farRoom) tellStateIDs(w http.ResponseWriter, _ *http.Request) {
	a := newAnswer(w)
	a.list("auth_chain_ids", ids(f.events(false)))
	a.list("pdu_ids", ids(f.events(true)))
	a.end()
}

// tellAuth tells of what authorises everything, and of the event's own members.
func (f *farRoom) tellAuth(w http.ResponseWriter, r *http.Request) {
	chain := f.events(false)
	if e := f.find(id.EventID(r.PathValue("event"))); e != nil {
		for _, eventID := range e.AuthEvents() {
			if auth := f.find(eventID); auth != nil {
				chain = append(chain, auth)
			}
		}
	}
	a := newAnswer(w)
	a.list("auth_chain", pdus(chain))
	a.end()
}

func (f *farRoom) tellPast(w http.ResponseWriter, r *http.Request) {
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	var from []id.EventID
	for _, eventID := range r.URL.Query()["v"] {
		from = append(from, id.EventID(eventID))
	}
	a := newAnswer(w)
	a.value("origin", canonjson.Text(r.Host))
	a.value("origin_server_ts", canonjson.Value(strconv.FormatInt(time.Now().UnixMilli(), 10)))
	a.list("pdus", pdus(f.before(from, nil, min(limit, 100))))
	a.end()
}

func (f *farRoom) tellMissing(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	question, problem := canonjson.Canonical(body, canonjson.Lenient)
	if err != nil || problem != nil {
		deny(w)
		return
	}
	limit, _ := question.Get("limit").Int()
	found := f.before(eventIDs(question.Get("latest_events")), eventIDs(question.Get("earliest_events")), int(min(limit, 100)))
	found = slices.DeleteFunc(found, func(e *event.Event) bool {
		return slices.Contains(eventIDs(question.Get("latest_events")), e.ID())
	})
	slices.Reverse(found)
	a := newAnswer(w)
	a.list("events", pdus(found))
	a.end()
}

func eventIDs(list canonjson.Value) (all []id.EventID) {
	for v := range list.Elements() {
		text, _ := v.Text()
		all = append(all, id.EventID(text))
	}
	return all
}
