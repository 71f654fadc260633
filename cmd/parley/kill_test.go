package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/killtest"
	"parley/internal/store"
	"parley/internal/store/storetest"
)

// How often TestKill kills a server on each database: in a hurry, and where
// PARLEY_TEST_KILLS says "full".
var killRounds = map[store.Dialect][2]int{store.SQLite: {12, 100}, store.PostgreSQL: {4, 30}}

// TestKill kills a server that is under load, again and again, at random moments,
// and now and then while it starts. See internal/killtest for what is looked at.
func TestKill(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		dialect, dir := store.SQLite, filepath.Dir(location)
		if strings.HasPrefix(location, "postgres") {
			dialect, dir = store.PostgreSQL, t.TempDir()
			t.Setenv("PARLEY_DATABASE", location)
		}
		rounds, seed := killRounds[dialect][0], uint64(1)
		if os.Getenv("PARLEY_TEST_KILLS") == "full" {
			rounds, seed = killRounds[dialect][1], rand.Uint64()
		}
		k := &killer{t: t, dir: dir, location: location, random: rand.New(rand.NewPCG(seed, 0))}
		t.Logf("seed %d", seed)
		k.run(rounds, seed)
	})
}

// killer starts servers on one directory, and kills them.
type killer struct {
	t             *testing.T
	dir, location string
	random        *rand.Rand
	starts        []time.Duration
}

func (k *killer) run(rounds int, seed uint64) {
	k.t.Setenv("PARLEY_REGISTRATION_MODE", "open")
	k.t.Setenv("PARLEY_RATE_LIMITS_ENABLED", "false")
	s := k.start()
	campaign, err := killtest.New(s, seed)
	if err != nil {
		k.t.Fatal(err)
	}
	db, err := store.Open(context.Background(), k.location)
	if err != nil {
		k.t.Fatal(err)
	}
	// Closing it at the end of a round would leave nothing for the next server
	// to recover.
	defer db.Close()
	for round := range rounds {
		moment := time.Duration(k.random.IntN(5000)) * time.Microsecond
		if err := campaign.Load(s, 1+k.random.IntN(300), moment); err != nil {
			k.t.Fatalf("round %d: %v", round, err)
		}
		for k.random.IntN(8) == 0 {
			k.startInVain()
		}
		s = k.start()
		if err := campaign.Check(context.Background(), s, db); err != nil {
			k.t.Fatalf("round %d: %v", round, err)
		}
	}
	s.Kill()
	slices.Sort(k.starts)
	k.t.Logf("%d kills; %d requests were acknowledged under load, %d things were looked for; starts took %v to %v, half of them %v at most",
		rounds, campaign.Acknowledged, campaign.Checked, k.starts[0], k.starts[len(k.starts)-1], k.starts[len(k.starts)/2])
}

func (k *killer) process() *process {
	return start(k.t, "serve", "--listen", "127.0.0.1:0", "--data-dir", k.dir)
}

// start starts a server, which must have nothing to complain about while it runs.
func (k *killer) start() killtest.Server {
	began := time.Now()
	p := k.process()
	lines := make(chan string, 1)
	url := p.await("listening", "url")
	k.starts = append(k.starts, time.Since(began))
	go func() { lines <- p.rest() }()
	return killtest.Server{URL: url, Kill: func() {
		p.Process.Kill()
		k.complaints(<-lines)
		p.Wait() // its error is that it was killed
	}}
}

// complaints fails the test for what a server has logged.
func (k *killer) complaints(log string) {
	for text := range strings.Lines(log) {
		var line struct{ Level string }
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Level != "INFO" {
			k.t.Errorf("the server says %s", text)
		}
	}
}

// startInVain kills a server while it starts.
func (k *killer) startInVain() {
	p := k.process()
	<-time.After(time.Duration(k.random.IntN(80)) * time.Millisecond)
	p.Process.Kill()
	k.complaints(p.rest())
	p.Wait()
}
