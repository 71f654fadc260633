package loadgen

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a homeserver in memory, with as much of the client-server API as the
// generator uses.
type fake struct {
	// What registration needs; nothing if both are empty.
	secret, token string
	// How many requests are answered with 429 first.
	throttle int
	// deaf rooms are those whose messages do not reach /sync.
	deaf func(body string) bool
	// hasty syncs are answered at once.
	hasty bool
	// maxUpload is how large files may be, 0 for any size.
	maxUpload int64

	mu       sync.Mutex // guards all below, and throttle
	changed  chan struct{}
	sessions int
	users    map[string]string // by access token
	rooms    map[string][]string
	log      []fakeEvent
	sent     map[string]string // event IDs by user, room and transaction
	filters  []string
	files    []int64 // how many bytes each has
	drawn    []string
}

type fakeEvent struct {
	room, id, text string
}

func newFake() *fake {
	return &fake{
		changed: make(chan struct{}),
		users:   make(map[string]string), rooms: make(map[string][]string), sent: make(map[string]string),
	}
}

// serve starts the server until the end of the test.
func (f *fake) serve(t *testing.T) Target {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_synapse/admin/v1/register", f.challenge)
	mux.HandleFunc("POST /_synapse/admin/v1/register", f.registerWithSecret)
	mux.HandleFunc("POST /_matrix/client/v3/register", f.register)
	mux.HandleFunc("POST /_matrix/client/v3/login", f.login)
	for pattern, handler := range map[string]func(user string, w http.ResponseWriter, r *http.Request){
		"GET /_matrix/client/v3/account/whoami":                 f.whoami,
		"POST /_matrix/client/v3/createRoom":                    f.createRoom,
		"POST /_matrix/client/v3/rooms/{room}/join":             f.join,
		"POST /_matrix/client/v3/rooms/{room}/leave":            f.leave,
		"PUT /_matrix/client/v3/rooms/{room}/send/{type}/{txn}": f.send,
		"GET /_matrix/client/v3/sync":                           f.sync,
		"GET /_matrix/client/v1/media/config":                   f.mediaConfig,
		"POST /_matrix/media/v3/upload":                         f.upload,
		"GET /_matrix/client/v1/media/download/fake/{file}":     f.download,
		"GET /_matrix/client/v1/media/thumbnail/fake/{file}":    f.thumbnail,
	} {
		mux.HandleFunc(pattern, f.loggedIn(handler))
	}
	server := httptest.NewServer(f.limited(mux))
	t.Cleanup(server.Close)
	target, err := Aim(t.Context(), server.URL, false)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func (f *fake) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		refuse := f.throttle > 0
		f.throttle--
		f.mu.Unlock()
		if refuse {
			reply(w, 429, map[string]any{"errcode": "M_LIMIT_EXCEEDED", "error": "Too many", "retry_after_ms": 2})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (f *fake) loggedIn(next func(string, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		user, ok := f.users[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		f.mu.Unlock()
		if !ok {
			refuse(w, 401, "M_UNKNOWN_TOKEN")
			return
		}
		next(user, w, r)
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, code string) {
	reply(w, status, map[string]string{"errcode": code, "error": "No"})
}

func (f *fake) challenge(w http.ResponseWriter, _ *http.Request) {
	reply(w, 200, map[string]string{"nonce": "once"})
}

func (f *fake) registerWithSecret(w http.ResponseWriter, r *http.Request) {
	var req struct{ Nonce, Username, Password, Mac string }
	json.NewDecoder(r.Body).Decode(&req)
	mac := hmac.New(sha1.New, []byte(f.secret))
	mac.Write([]byte("once\x00" + req.Username + "\x00" + req.Password + "\x00notadmin"))
	if req.Nonce != "once" || req.Mac != hex.EncodeToString(mac.Sum(nil)) || req.Password == "" {
		refuse(w, 403, "M_FORBIDDEN")
		return
	}
	f.welcome(w, req.Username)
}

// register wants a session first, as the specification says, and then the stage.
func (f *fake) register(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Username string
		Auth     struct{ Type, Session, Token string }
	}
	json.NewDecoder(r.Body).Decode(&req)
	stage := "m.login.dummy"
	if f.token != "" {
		stage = "m.login.registration_token"
	}
	if req.Auth.Session == "" || req.Auth.Type != stage || req.Auth.Token != f.token || f.secret != "" {
		reply(w, 401, map[string]any{
			"session": "s", "params": map[string]any{},
			"flows": []any{map[string]any{"stages": []string{"m.login.email.identity"}}, map[string]any{"stages": []string{stage}}},
		})
		return
	}
	f.welcome(w, req.Username)
}

// login knows that a password is made from the name.
func (f *fake) login(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Password   string
		Identifier struct{ User string }
	}
	json.NewDecoder(r.Body).Decode(&req)
	if req.Password != "secret of "+req.Identifier.User {
		refuse(w, 403, "M_FORBIDDEN")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logIn(w, "@"+req.Identifier.User+":fake")
}

func (f *fake) welcome(w http.ResponseWriter, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	user := "@" + name + ":fake"
	for _, u := range f.users {
		if u == user {
			refuse(w, 400, "M_USER_IN_USE")
			return
		}
	}
	f.logIn(w, user)
}

func (f *fake) logIn(w http.ResponseWriter, user string) {
	f.sessions++
	token := fmt.Sprintf("token%d", f.sessions)
	f.users[token] = user
	reply(w, 200, map[string]string{"user_id": user, "access_token": token})
}

func (f *fake) whoami(user string, w http.ResponseWriter, _ *http.Request) {
	reply(w, 200, map[string]string{"user_id": user})
}

func (f *fake) createRoom(user string, w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	room := fmt.Sprintf("!room/%d:fake", len(f.rooms))
	f.rooms[room] = []string{user}
	f.append(room, "m.room.member", map[string]string{"membership": "join"})
	reply(w, 200, map[string]string{"room_id": room})
}

func (f *fake) join(user string, w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	room := r.PathValue("room")
	if f.rooms[room] == nil {
		refuse(w, 404, "M_NOT_FOUND")
		return
	}
	if !slices.Contains(f.rooms[room], user) {
		f.rooms[room] = append(f.rooms[room], user)
		f.append(room, "m.room.member", map[string]string{"membership": "join"})
	}
	reply(w, 200, map[string]string{"room_id": room})
}

func (f *fake) leave(user string, w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	room := r.PathValue("room")
	f.rooms[room] = slices.DeleteFunc(f.rooms[room], func(u string) bool { return u == user })
	reply(w, 200, struct{}{})
}

func (f *fake) send(user string, w http.ResponseWriter, r *http.Request) {
	var content map[string]string
	err := json.NewDecoder(r.Body).Decode(&content)
	f.mu.Lock()
	defer f.mu.Unlock()
	room := r.PathValue("room")
	if err != nil || !slices.Contains(f.rooms[room], user) {
		refuse(w, 403, "M_FORBIDDEN")
		return
	}
	key := user + room + r.PathValue("txn")
	if f.sent[key] == "" {
		if f.deaf != nil && f.deaf(content["body"]) {
			f.sent[key] = "$lost"
		} else {
			f.sent[key] = f.append(room, r.PathValue("type"), content)
		}
	}
	reply(w, 200, map[string]string{"event_id": f.sent[key]})
}

func (f *fake) append(room, kind string, content any) string {
	id := fmt.Sprintf("$event%d", len(f.log))
	text, err := json.Marshal(map[string]any{"type": kind, "event_id": id, "content": content})
	if err != nil {
		panic(err)
	}
	f.log = append(f.log, fakeEvent{room, id, string(text)})
	close(f.changed)
	f.changed = make(chan struct{})
	return id
}

func (f *fake) sync(user string, w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	ms, _ := strconv.Atoi(query.Get("timeout"))
	timeout := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timeout.Stop()
	initial := !query.Has("since")
	since, err := strconv.Atoi(strings.TrimPrefix(query.Get("since"), "s/"))
	if err != nil && !initial {
		refuse(w, 400, "M_INVALID_PARAM")
		return
	}
	for over := f.hasty; ; {
		f.mu.Lock()
		news, changed, head := f.news(user, since), f.changed, len(f.log)
		f.filters = append(f.filters, query.Get("filter"))
		f.mu.Unlock()
		if initial || over || len(news) > 0 {
			reply(w, 200, map[string]any{"rooms": map[string]any{"join": news}, "next_batch": fmt.Sprintf("s/%d", head)})
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			over = true
		case <-r.Context().Done():
			return
		}
	}
}

// news returns the rooms of a user that have events since a position.
func (f *fake) news(user string, since int) map[string]any {
	events := make(map[string][]json.RawMessage)
	for _, e := range f.log[since:] {
		if slices.Contains(f.rooms[e.room], user) {
			events[e.room] = append(events[e.room], json.RawMessage(e.text))
		}
	}
	rooms := make(map[string]any)
	for room, list := range events {
		rooms[room] = map[string]any{"timeline": map[string]any{"events": list, "limited": false}}
	}
	return rooms
}

func (f *fake) mediaConfig(_ string, w http.ResponseWriter, _ *http.Request) {
	if f.maxUpload == 0 {
		reply(w, 200, struct{}{})
		return
	}
	reply(w, 200, map[string]int64{"m.upload.size": f.maxUpload})
}

func (f *fake) upload(_ string, w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil || n != r.ContentLength {
		refuse(w, 400, "M_UNKNOWN")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files = append(f.files, n)
	reply(w, 200, map[string]string{"content_uri": fmt.Sprintf("mxc://fake/%d", len(f.files)-1)})
}

func (f *fake) download(_ string, w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	i, err := strconv.Atoi(r.PathValue("file"))
	if err != nil || i >= len(f.files) {
		f.mu.Unlock()
		refuse(w, 404, "M_NOT_FOUND")
		return
	}
	size := f.files[i]
	f.mu.Unlock()
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	for ; size > 0; size -= 1000 {
		w.Write(make([]byte, min(size, 1000)))
	}
}

func (f *fake) thumbnail(_ string, w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.drawn = append(f.drawn, r.PathValue("file")+" "+r.URL.Query().Get("width"))
	f.mu.Unlock()
	w.Write([]byte("a picture"))
}

// generator returns a generator for a fake server.
func (f *fake) generator(t *testing.T, o Options) *Generator {
	t.Helper()
	o.Target = f.serve(t)
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
