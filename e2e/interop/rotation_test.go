package interop

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// renewKey gives a server that is stopped another signing key. It tells others of
// the one before: parley by itself, Synapse if it is told to.
func (s *server) renewKey(t *testing.T) {
	t.Helper()
	file := s.file("data/signing.key")
	if s == synapse {
		file = s.file("signing.key")
		s.retireKey(t, file)
	}
	line := fmt.Sprintf("ed25519 n%d %s\n", time.Now().UnixNano(), unpadded(randomBytes(ed25519.SeedSize)))
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// retireKey adds the key in a file to those that Synapse has signed with.
func (s *server) retireKey(t *testing.T, file string) {
	t.Helper()
	line, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(line))
	seed, err := base64.RawStdEncoding.DecodeString(words[2])
	if err != nil {
		t.Fatal(err)
	}
	config := object{}
	text, err := os.ReadFile(s.file("homeserver.yaml"))
	if err = firstOf(err, json.Unmarshal(text, &config)); err != nil {
		t.Fatal(err)
	}
	old, _ := config["old_signing_keys"].(map[string]any)
	if old == nil {
		old = make(map[string]any)
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	old["ed25519:"+words[1]] = object{"key": unpadded(public), "expired_ts": time.Now().UnixMilli()}
	config["old_signing_keys"] = old
	if err := writeJSON(s.file("homeserver.yaml"), config); err != nil {
		t.Fatal(err)
	}
}

func TestAServerSignsWithAnotherKey(t *testing.T) {
	eachWay(t, func(t *testing.T, here, there *server) {
		room, alice, bob := together(t, here, there, object{})
		unseen := alice.creates(object{"preset": "public_chat"})
		old := alice.says(unseen, "with the first key")
		bob.hears(room, alice.says(room, "with the first key"), "with the first key")
		alice.hears(room, bob.says(room, "I hear you"), "I hear you")

		// What is signed with the second key is verified when the third is in use.
		there.mustStop(t)
		here.mustStop(t)
		here.renewKey(t)
		here.mustStart(t)
		second := alice.says(room, "with the second key")
		alice.sets(room, "m.room.topic", "", object{"topic": "keys"})
		here.mustStop(t)
		here.renewKey(t)
		here.mustStart(t)
		third := alice.says(room, "with the third key")
		there.mustStart(t)

		alice.hears(room, bob.says(room, "I am back"), "I am back")
		bob.reads(room, second)
		bob.hears(room, second, "with the second key")
		bob.hears(room, third, "with the third key")
		bob.sees(room, "m.room.topic", "", "topic", "keys")
		carol := there.register(t, "carol")
		carol.joins(unseen, here)
		carol.reads(unseen, old)
		agree(t, unseen, alice, carol)
		agree(t, room, alice, bob)
	})
}
