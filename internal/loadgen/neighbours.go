package loadgen

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// neighbours is all servers that the measured one has to do with, as far as it
// has: they have rooms with many members, let it in, tell it what it asks, and take
// what it sends. Each is a port of this machine and named after that, so that no
// name has to be resolved. They share a key, and say what is right; that they
// are asked properly is not looked at.
type neighbours struct {
	names     []id.ServerName
	key       signing.Key
	published map[id.ServerName]canonjson.Value // their keys
	authority []byte                            // who vouches for their certificates, in PEM

	listeners []net.Listener
	server    *http.Server

	mu    sync.Mutex // guards what follows
	rooms map[id.RoomID]*farRoom
	heard func(server id.ServerName, transaction []byte, at time.Time)
}

// settle starts so many servers.
func settle(n int) (*neighbours, error) {
	address := net.IPv4(127, 0, 0, 1)
	certificate, authority, err := throwAway(address)
	if err != nil {
		return nil, err
	}
	seed := make([]byte, 32)
	rand.Read(seed)
	key, err := signing.NewKey("ed25519:bench", seed)
	if err != nil {
		return nil, err
	}
	all := &neighbours{
		key: key, published: make(map[id.ServerName]canonjson.Value), authority: authority, rooms: make(map[id.RoomID]*farRoom),
		heard: func(id.ServerName, []byte, time.Time) {},
	}
	all.server = &http.Server{
		Handler: all.routes(), ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
	}
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(address.String(), "0"))
		if err != nil {
			all.close()
			return nil, fmt.Errorf("listening as another server: %w", err)
		}
		name := id.ServerName(l.Addr().String())
		all.names, all.listeners = append(all.names, name), append(all.listeners, l)
		all.published[name] = publish(name, key)
		go all.server.ServeTLS(l, "", "") // ends with close
	}
	return all, nil
}

func (n *neighbours) close() {
	n.server.Close()
	for _, l := range n.listeners {
		l.Close()
	}
}

// publish returns what a server says of its key.
func publish(server id.ServerName, key signing.Key) canonjson.Value {
	public := canonjson.Value("{}").With("key", canonjson.Text(signing.EncodeBase64(key.Public())))
	until := canonjson.Value(fmt.Sprint(time.Now().Add(24 * time.Hour).UnixMilli()))
	return signing.Sign(canonjson.Value("{}").
		With("old_verify_keys", canonjson.Value("{}")).
		With("server_name", canonjson.Text(string(server))).
		With("valid_until_ts", until).
		With("verify_keys", canonjson.Value("{}").With(string(key.ID), public)), string(server), key)
}

// add makes a room known to them all.
func (n *neighbours) add(r *farRoom) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rooms[r.id] = r
}

// forget drops all rooms.
func (n *neighbours) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.rooms)
}

// listen has a function called with each transaction that comes.
func (n *neighbours) listen(heard func(server id.ServerName, transaction []byte, at time.Time)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heard = heard
}

// answer writes an object of which a list may be long.
type answer struct {
	*bufio.Writer
	names int
}

func newAnswer(w http.ResponseWriter) *answer {
	w.Header().Set("Content-Type", "application/json")
	a := &answer{Writer: bufio.NewWriterSize(w, 64<<10)}
	a.WriteByte('{')
	return a
}

func (a *answer) name(name string) {
	if a.names++; a.names > 1 {
		a.WriteByte(',')
	}
	a.WriteString(`"` + name + `":`)
}

func (a *answer) value(name string, v canonjson.Value) {
	a.name(name)
	a.Write(v)
}

func (a *answer) list(name string, elements func(yield func(canonjson.Value) bool)) {
	a.name(name)
	a.WriteByte('[')
	first := true
	for v := range elements {
		if !first {
			a.WriteByte(',')
		}
		first = false
		a.Write(v)
	}
	a.WriteByte(']')
}

func (a *answer) end() {
	a.WriteByte('}')
	a.Flush() // who asked may have gone
}
