package csapi

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"parley/internal/account"
	"parley/internal/accountdata"
	"parley/internal/alias"
	"parley/internal/appservice"
	"parley/internal/endpoint"
	"parley/internal/ephemeral"
	"parley/internal/feed"
	"parley/internal/filter"
	"parley/internal/identity"
	"parley/internal/inherit"
	"parley/internal/journal"
	"parley/internal/openapi"
	"parley/internal/profile"
	"parley/internal/push"
	"parley/internal/receipt"
	"parley/internal/remote"
	"parley/internal/report"
	"parley/internal/room"
	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/signing"
)

// callers is an Authenticator for which the localpart of a user is the token,
// and the users there are.
type callers map[string]endpoint.Caller

func (a callers) Authenticate(c endpoint.Credentials) (endpoint.Caller, error) {
	if caller, ok := a[c.Token]; ok {
		return caller, nil
	}
	return endpoint.Caller{}, mxerr.New(mxerr.UnknownToken, "unknown token")
}

func (a callers) Exists(_ context.Context, user id.UserID) (bool, error) {
	for _, c := range a {
		if c.UserID == user {
			return true, nil
		}
	}
	return false, nil
}

func someCallers() callers {
	all := callers{
		"guest":     {UserID: "@guest:a.test", Guest: true},
		"suspended": {UserID: "@suspended:a.test", DeviceID: "PHONE", Suspended: true},
		"admin":     {UserID: "@admin:a.test", Admin: true},
	}
	for _, name := range []string{"alice", "bob", "carol"} {
		all[name] = endpoint.Caller{UserID: id.UserID("@" + name + ":a.test"), DeviceID: "PHONE"}
	}
	return all
}

// socialScene is the routes around rooms, over a room engine and a database.
type socialScene struct {
	*Server
	t       *testing.T
	ctx     context.Context
	journal *journal.Journal
	table   http.Handler
	after   []func() // what ends with the scene
}

// playSocial runs f with a scene in a bubble, where synctest.Wait waits for what
// goes on in the background.
func playSocial(t *testing.T, f func(s *socialScene)) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		db := storetest.Open(t, location)
		j, err := journal.Open(ctx, db, func() string { return "epoch" }, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		seed := sha256.Sum256([]byte("a.test"))
		key, err := signing.NewKey("ed25519:test", seed[:])
		if err != nil {
			t.Fatal(err)
		}
		users := someCallers()
		typing := ephemeral.NewBoard("epoch", j.Poke)
		var heirs *inherit.Keeper
		rooms := room.New(db, j, room.Options{
			Server: "a.test", Key: key, Inherits: func(h room.Heir) { heirs.Expect(h) },
			Gone: func(num room.Num, user id.UserID) { typing.Stop(num.Scope(), user) },
		})
		data := accountdata.New(db, j, accountdata.Options{})
		others := nobodyElse(ctx, t, db, key)
		heirs = inherit.New(rooms, data, nil)
		s := &socialScene{t: t, ctx: ctx, journal: j, Server: New(Parts{
			Name: "a.test", Rooms: rooms, Users: users, Accounts: account.New(db, account.Options{Server: "a.test"}), AccountData: data, Aliases: alias.New(db, "a.test"),
			Remote: others, RemoteProfiles: remote.NewProfiles(others),
			Reports:  report.New(db),
			Heirs:    heirs,
			Identity: identity.New(remote.New(remote.Options{}), identity.Options{}),
			Receipts: receipt.New(db, j, locateIn(rooms)),
			Typing:   typing,
			Presence: ephemeral.NewPresence(typing, j, ephemeral.PresenceOptions{}),
			Profiles: profile.New(profile.Parts{DB: db, Journal: j, Rooms: profile.Rooms{
				Joined: rooms.Joined, Update: rooms.UpdateMember, Scopes: room.JoinedScopes, Sharers: rooms.Sharers,
			}}),
			Filters: filter.NewStore(db),
		})}
		s.Feed = feed.New(feed.Parts{Journal: j, Rooms: rooms, AccountData: s.AccountData, Receipts: s.Receipts, Board: s.Typing})
		s.Services = appservice.New(appservice.Parts{Server: "a.test", Aliases: s.Aliases})
		s.Notified = push.NewHistory(rooms, s.AccountData.Prepared, s.Feed.Reads)
		s.table = openapi.Watch(t, endpoint.New(endpoint.Config{Users: users}, s.Routes()))
		var wg sync.WaitGroup
		wg.Go(func() { j.Run(ctx) })
		wg.Go(func() { s.Profiles.Run(ctx) })
		wg.Go(func() { s.Heirs.Run(ctx) })
		f(s)
		for _, end := range s.after {
			end()
		}
		s.Typing.Close()
		cancel()
		wg.Wait()
		db.Close()
	})
}

// nobodyElse is other servers of which none can be reached.
func nobodyElse(ctx context.Context, t *testing.T, db *store.DB, key signing.Key) *remote.Servers {
	t.Helper()
	health, err := remote.OpenHealth(ctx, db, nil)
	if err != nil {
		t.Fatal(err)
	}
	return remote.NewServers(health, remote.ServersOptions{
		Server: "a.test", Key: key, Resolver: noRecords{},
		Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			return nil, fmt.Errorf("nobody is at %s", addr)
		},
	})
}

// noRecords is a name system without any.
type noRecords struct{}

func (noRecords) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func locateIn(rooms *room.Engine) receipt.Locate {
	return func(ctx context.Context, roomID id.RoomID, eventID id.EventID) (receipt.At, error) {
		num, err := rooms.Num(ctx, roomID)
		if err != nil {
			return receipt.At{}, err
		}
		it, ok, err := rooms.Item(ctx, roomID, eventID)
		if err == nil && !ok {
			err = mxerr.New(mxerr.NotFound, "no such event")
		}
		at := receipt.At{Room: int64(num), Scope: num.Scope(), Mark: receipt.Mark{Place: it.Place}, Thread: receipt.ThreadMain}
		if it.Thread != "" {
			at.Thread, at.InThread = string(it.Thread), at.Mark
		}
		return at, err
	}
}

// A socialCall is a request of a user, and what must come of it.
type socialCall struct {
	name, user, call, body string
	want                   mxerr.Code // empty: status 200
	status                 int        // 0: that of the code
}

// try makes calls.
func (s *socialScene) try(calls []socialCall) {
	s.t.Helper()
	for _, c := range calls {
		w := s.send(c.user, c.call, c.body)
		status := c.status
		if status == 0 {
			status = c.want.Status()
		}
		if c.want == "" {
			status = 200
		}
		if code, _ := canonjson.Value(w.Body.Bytes()).Get("errcode").Text(); w.Code != status || mxerr.Code(code) != c.want {
			s.t.Errorf("%s: got %d %s, want %d %s", c.name, w.Code, w.Body, status, c.want)
		}
	}
}

func (s *socialScene) send(user, call, body string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(call, " ")
	if !strings.HasPrefix(path, "/") {
		path = "/v3/" + path
	}
	r := httptest.NewRequest(method, "/_matrix/client"+path, strings.NewReader(body))
	if user != "" {
		r.Header.Set("Authorization", "Bearer "+user)
	}
	w := httptest.NewRecorder()
	s.table.ServeHTTP(w, r)
	return w
}

// get returns the body of a response, which must be good.
func (s *socialScene) get(user, call, body string) canonjson.Value {
	s.t.Helper()
	w := s.send(user, call, body)
	v, err := canonjson.Canonical(w.Body.Bytes(), canonjson.Strict)
	if w.Code != 200 || err != nil {
		s.t.Fatalf("%s: got %d %s (%v)", call, w.Code, w.Body, err)
	}
	return v
}

func (s *socialScene) create(n room.NewRoom, members ...id.UserID) id.RoomID {
	s.t.Helper()
	if n.Creator == "" {
		n.Creator = "@alice:a.test"
	}
	roomID, _, err := s.Rooms.Create(s.ctx, n)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, user := range members {
		s.join(roomID, user)
	}
	return roomID
}

func (s *socialScene) join(roomID id.RoomID, user id.UserID) {
	s.t.Helper()
	if _, err := s.Rooms.Join(s.ctx, roomID, room.Move{Sender: user}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *socialScene) say(roomID id.RoomID, user id.UserID) id.EventID {
	s.t.Helper()
	sent, err := s.Rooms.Send(s.ctx, roomID, room.Draft{Type: "m.room.message", Sender: user, Content: canonjson.Value(`{"body":"hi","msgtype":"m.text"}`)})
	if err != nil {
		s.t.Fatal(err)
	}
	return sent.EventID
}

func (s *socialScene) member(roomID id.RoomID, user id.UserID) canonjson.Value {
	s.t.Helper()
	now, err := s.Rooms.Now(s.ctx, roomID)
	if err != nil {
		s.t.Fatal(err)
	}
	e, err := s.Rooms.State(s.ctx, roomID, now.Root, event.Tuple{Type: event.TypeMember, StateKey: string(user)})
	if err != nil || e == nil {
		s.t.Fatal(e, err)
	}
	return e.Content()
}

const (
	userAlice id.UserID = "@alice:a.test"
	userBob   id.UserID = "@bob:a.test"
)

// fullyRead returns where the read marker of a user is.
func (s *socialScene) fullyRead(roomID id.RoomID, user id.UserID) id.EventID {
	s.t.Helper()
	content, err := s.AccountData.Get(s.ctx, user, roomID, accountdata.FullyRead)
	if err != nil {
		s.t.Fatal(err)
	}
	return id.EventID(content.Get("event_id").String())
}
