package room

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"parley/internal/journal"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// killRounds is how often a process that sends is killed: less often on PostgreSQL,
// which does not die with it.
func killRounds(t *testing.T) int {
	if onPostgres(t) {
		return 10
	}
	return 25
}

// TestKill kills a process in the middle of sending, again and again, and looks
// at what it left: everything that it had acknowledged is there, at positions
// that were not given out before, a repeated request is the event of then, and
// the room is one line.
func TestKill(t *testing.T) {
	if location := os.Getenv("PARLEY_TEST_KILL"); location != "" {
		sendForever(t, location, id.RoomID(os.Getenv("PARLEY_TEST_KILL_ROOM")))
	}
	storetest.EachLocation(t, func(t *testing.T, location string) {
		n := start(t, storetest.Open(t, location), Options{})
		roomID := n.create(NewRoom{Preset: PublicChat})
		n.stop()
		n.db.Close()
		random := rand.New(rand.NewPCG(1, 1))
		var head journal.Position
		for round := range killRounds(t) {
			acknowledged := sendUntilKilled(t, location, roomID, 1+random.IntN(60))
			n := start(t, storetest.Open(t, location), Options{})
			for _, a := range acknowledged {
				if a.pos <= head {
					t.Fatalf("round %d: position %d was given out before", round, a.pos)
				}
				if e := n.eventByID(roomID, a.eventID); e == nil {
					t.Fatalf("round %d: %s was acknowledged and is not there", round, a.eventID)
				}
				if again := n.send(roomID, request(a.txn)); again.EventID != a.eventID {
					t.Fatalf("round %d: repeated, %s became %s", round, a.eventID, again.EventID)
				}
			}
			n.check(roomID)
			n.checkJournal()
			head = n.journal.Head()
			n.stop()
			n.db.Close()
		}
	})
}

func request(txn string) Draft {
	d := message(alice, txn)
	if len(txn)%3 == 0 {
		d = state(alice, "m.room.topic", "", "{}")
		d.Content = d.Content.With("topic", canonjson.Text(txn))
	}
	d.Transaction = Transaction{Device: "PHONE", ID: txn}
	return d
}

// checkJournal checks that the journal has each event of the database once.
func (n *node) checkJournal() {
	n.t.Helper()
	seen := make(map[int64]bool)
	for pos := journal.Position(0); ; {
		entries, err := n.journal.Read(ctx, pos, 100)
		if err != nil {
			n.t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if pos++; e.Pos != pos || e.Kind == journal.KindEvent && seen[e.Ref] {
				n.t.Fatalf("entry %v at position %d, seen before: %v", e, pos, seen[e.Ref])
			}
			if e.Kind == journal.KindEvent {
				seen[e.Ref] = true
			}
		}
	}
	rooms, err := n.Rooms(ctx, alice)
	if err != nil {
		n.t.Fatal(err)
	}
	total := 0
	for _, r := range rooms {
		total += len(n.history(r.RoomID))
	}
	if total != len(seen) {
		n.t.Errorf("%d events, %d entries", total, len(seen))
	}
}

type acknowledgement struct {
	txn     string
	eventID id.EventID
	pos     journal.Position
}

// sendUntilKilled runs this test as a process that sends, kills it when it has
// acknowledged so many events, and returns all that it acknowledged.
func sendUntilKilled(t *testing.T, location string, roomID id.RoomID, count int) []acknowledgement {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKill$")
	cmd.Env = append(os.Environ(), "PARLEY_TEST_KILL="+location, "PARLEY_TEST_KILL_ROOM="+string(roomID))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []acknowledgement
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var a acknowledgement
		if _, err := fmt.Sscan(lines.Text(), &a.txn, (*string)(&a.eventID), (*int64)(&a.pos)); err != nil {
			t.Errorf("the process says %q", lines.Text())
			continue
		}
		if acknowledged = append(acknowledged, a); len(acknowledged) == count {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(acknowledged) < count {
		t.Fatalf("the process ended by itself after %d events: %v", len(acknowledged), err)
	}
	return acknowledged
}

// sendForever is what the process does that is killed: several people send, and
// each line it prints is an acknowledgement. It ends by itself after more than
// anybody waits for.
func sendForever(t *testing.T, location string, roomID id.RoomID) {
	const senders, most = 6, 500
	n := start(t, storetest.Open(t, location), Options{})
	var mu sync.Mutex
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range most {
				txn := fmt.Sprintf("%d-%d-%d", os.Getpid(), s, i)
				sent, err := n.Send(context.Background(), roomID, request(txn))
				if err != nil {
					panic(err)
				}
				mu.Lock()
				fmt.Println(txn, sent.EventID, int64(sent.Pos))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	os.Exit(0)
}
