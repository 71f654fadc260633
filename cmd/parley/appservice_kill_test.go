package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A listener is an application service that writes down what it is sent, and answers
// as it likes.
type listener struct {
	t      *testing.T
	mu     sync.Mutex // guards what follows
	random *rand.Rand
	bodies map[string]string // of transactions that it has read, by their IDs
	order  []string          // of IDs
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the server was killed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/_matrix/app/v1/transactions/")
	if l.random.IntN(8) == 0 { // it has not looked at it
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if before, again := l.bodies[name]; again && before != string(body) {
		l.t.Errorf("transaction %s was\n%s\nand is\n%s", name, before, body)
	} else if !again {
		l.bodies[name], l.order = string(body), append(l.order, name)
	}
	if l.random.IntN(8) == 0 { // it has, and the answer is lost
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, "{}")
}

// messages are those of all transactions, in order.
func (l *listener) messages() (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range l.order {
		var txn struct {
			Events []struct {
				ID   string `json:"event_id"`
				Type string `json:"type"`
			} `json:"events"`
		}
		if err := json.Unmarshal([]byte(l.bodies[name]), &txn); err != nil {
			l.t.Errorf("transaction %s: %v", name, err)
		}
		for _, e := range txn.Events {
			if e.Type == "m.room.message" {
				list = append(list, e.ID)
			}
		}
	}
	return list
}

// TestNoTransactionIsLostOrRepeated kills a server again and again while it tells an
// application service what happens, which fails now and then.
func TestNoTransactionIsLostOrRepeated(t *testing.T) {
	rounds, seed := 8, rand.Uint64()
	if os.Getenv("PARLEY_TEST_KILLS") == "full" {
		rounds = 60
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := &listener{t: t, random: rand.New(rand.NewPCG(seed, 1)), bodies: make(map[string]string)}
	service := httptest.NewServer(l)
	defer service.Close()
	dir, data := t.TempDir(), t.TempDir()
	registration := fmt.Sprintf("{id: irc, url: %q, as_token: as, hs_token: hs, sender_localpart: irc, rate_limited: false, namespaces: {}}", service.URL)
	if err := os.WriteFile(filepath.Join(dir, "irc.yaml"), []byte(registration), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PARLEY_APPSERVICES_DIR", dir)
	serve := func() (*process, string) {
		p := start(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", data)
		url := p.await("listening", "url")
		go p.rest()
		return p, url
	}
	p, url := serve()
	made, err := ask("POST", url+"/_matrix/client/v3/createRoom", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	room := made["room_id"]
	var sent []string
	for round := range rounds {
		killed := make(chan struct{})
		time.AfterFunc(time.Duration(20+random.IntN(400))*time.Millisecond, func() {
			p.Process.Kill()
			close(killed)
		})
		last := ""
		for i := 0; ; i++ {
			last = fmt.Sprintf("%s/_matrix/client/v3/rooms/%s/send/m.room.message/%d-%d", url, room, round, i)
			answer, err := ask("PUT", last, `{"body":"x","msgtype":"m.text"}`)
			if err != nil {
				break
			}
			sent = append(sent, answer["event_id"])
		}
		<-killed
		p.Wait() // its error is that it was killed
		was := url
		p, url = serve()
		// What was not answered is repeated, so that it is known what there is.
		answer, err := ask("PUT", strings.Replace(last, was, url, 1), `{"body":"x","msgtype":"m.text"}`)
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, answer["event_id"])
	}
	deadline := time.Now().Add(time.Minute)
	for len(l.messages()) < len(sent) && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if got := l.messages(); !slices.Equal(got, sent) {
		t.Errorf("the service got %d messages of %d, or in another order", len(got), len(sent))
	}
	t.Logf("%d kills, %d messages in %d transactions", rounds, len(sent), len(l.order))
}

// ask makes a request as the application service.
func ask(method, url, body string) (answer map[string]string, err error) {
	r, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer as")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		content, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("%s: %s", resp.Status, content)
	}
	return answer, json.NewDecoder(resp.Body).Decode(&answer)
}
