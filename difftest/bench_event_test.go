package difftest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/matrix-org/gomatrixserverlib"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// The sizes of what a message says, in bytes.
var bodies = []int{200, 20_000}

// pdus is how many PDUs arrive at once: a busy transaction's worth.
const pdus = 1_000

// versionOf returns a room version in both libraries.
func versionOf(version roomver.Version) (*roomver.Rules, gomatrixserverlib.IRoomVersion) {
	rules, _ := roomver.Lookup(version)
	return rules, gomatrixserverlib.MustGetRoomVersion(gomatrixserverlib.RoomVersion(version))
}

// arrivals returns PDUs of 20 servers in canonical form, as most come.
func arrivals(b *testing.B, body int) [][]byte {
	rules, _ := versionOf("10")
	text := strings.Repeat("All work and no play makes Jack a dull boy. ", body/44+1)[:body]
	raw := make([][]byte, pdus)
	for i := range raw {
		server := id.ServerName("s" + strconv.Itoa(i%20) + ".test")
		p := event.Proto{
			Type: "m.room.message", Sender: id.UserID("@user:" + string(server)), RoomID: "!room:a.test",
			Content:        canonjson.Value(`{"body":` + quote(text+strconv.Itoa(i)) + `,"msgtype":"m.text"}`),
			OriginServerTS: 1_600_000_000_000 + int64(i), Depth: int64(i + 10),
			PrevEvents: []event.Reference{{ID: "$HJsQyFpOfhvlUQ4TrmR0nqFtVn9lmNRGjhd5zQ0zVqA"}},
			AuthEvents: []event.Reference{{ID: "$HJsQyFpOfhvlUQ4TrmR0nqFtVn9lmNRGjhd5zQ0zVqA"}, {ID: "$IJsQyFpOfhvlUQ4TrmR0nqFtVn9lmNRGjhd5zQ0zVqA"},
				{ID: "$JJsQyFpOfhvlUQ4TrmR0nqFtVn9lmNRGjhd5zQ0zVqA"}},
		}
		e, err := p.Build(rules, server, keyOf(server, "ed25519:1"))
		if err != nil {
			b.Fatal(err)
		}
		raw[i] = e.JSON()
	}
	return raw
}

func parseAll(b *testing.B, raw [][]byte) []*event.Event {
	rules, _ := versionOf("10")
	events := make([]*event.Event, len(raw))
	for i, r := range event.ParseAll(raw, rules) {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
		events[i] = r.Event
	}
	return events
}

func receiveAllOther(b *testing.B, raw [][]byte) {
	_, version := versionOf("10")
	events := make([]gomatrixserverlib.PDU, len(raw))
	for i, text := range raw {
		pdu, err := version.NewEventFromUntrustedJSON(text)
		if err != nil || pdu.Redacted() {
			b.Fatal("refused: ", err)
		}
		events[i] = pdu
	}
	for _, err := range gomatrixserverlib.VerifyAllEventSignatures(context.Background(), events, keyRing, userOf) {
		if err != nil {
			b.Fatal(err)
		}
	}
}

// A signed message is what verification comes down to.
type signed struct {
	key                ed25519.PublicKey
	message, signature []byte
}

func signatures(b *testing.B, raw [][]byte) []signed {
	all := make([]signed, len(raw))
	for i, e := range parseAll(b, raw) {
		server := e.Sender().Server()
		signature, err := signing.Decode(e.JSON().Get("signatures").Get(string(server)).Get("ed25519:1"))
		if err != nil {
			b.Fatal(err)
		}
		all[i] = signed{keyOf(server, "ed25519:1").Public(), signing.Message(e.Redacted().JSON()), signature[:]}
	}
	return all
}

// BenchmarkReceive parses 1,000 PDUs, computes their IDs, and checks their
// hashes and signatures, on one processor. The floor is the checks of the
// signatures alone.
func BenchmarkReceive(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, body := range bodies {
		raw := arrivals(b, body)
		b.Run(fmt.Sprintf("parley/%d", body), func(b *testing.B) {
			for b.Loop() {
				verifier := event.NewVerifier(2 * pdus)
				for _, e := range parseAll(b, raw) {
					if received, err := verifier.Receive(e, publishedKey); err != nil || received != e {
						b.Fatal("refused: ", err)
					}
				}
			}
		})
		b.Run(fmt.Sprintf("gomatrixserverlib/%d", body), func(b *testing.B) {
			for b.Loop() {
				receiveAllOther(b, raw)
			}
		})
		b.Run(fmt.Sprintf("ed25519/%d", body), func(b *testing.B) {
			all := signatures(b, raw)
			for b.Loop() {
				for _, s := range all {
					if !ed25519.Verify(s.key, s.message, s.signature) {
						b.Fatal("bad signature")
					}
				}
			}
		})
	}
}

// BenchmarkReceiveAll is the same on all processors, as far as the libraries
// use them.
func BenchmarkReceiveAll(b *testing.B) {
	for _, body := range bodies {
		raw := arrivals(b, body)
		b.Run(fmt.Sprintf("parley/%d", body), func(b *testing.B) {
			for b.Loop() {
				for _, r := range event.NewVerifier(2*pdus).ReceiveAll(parseAll(b, raw), publishedKey) {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
			}
		})
		b.Run(fmt.Sprintf("gomatrixserverlib/%d", body), func(b *testing.B) {
			for b.Loop() {
				receiveAllOther(b, raw)
			}
		})
		b.Run(fmt.Sprintf("ed25519/%d", body), func(b *testing.B) {
			all := signatures(b, raw)
			for b.Loop() {
				var next atomic.Int64
				var wg sync.WaitGroup
				for range runtime.GOMAXPROCS(0) {
					wg.Go(func() {
						for i := next.Add(1) - 1; i < pdus; i = next.Add(1) - 1 {
							if !ed25519.Verify(all[i].key, all[i].message, all[i].signature) {
								b.Error("bad signature")
							}
						}
					})
				}
				wg.Wait()
			}
		})
	}
}

// BenchmarkRedact makes the redacted event of a loaded one.
func BenchmarkRedact(b *testing.B) {
	rules, version := versionOf("10")
	for _, body := range bodies {
		raw := arrivals(b, body)[0]
		b.Run(fmt.Sprintf("parley/%d", body), func(b *testing.B) {
			e, err := event.Parse(raw, rules)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if e.Redacted() == e {
					b.Fatal("not redacted")
				}
			}
		})
		b.Run(fmt.Sprintf("gomatrixserverlib/%d", body), func(b *testing.B) {
			for b.Loop() {
				// PDU.Redact does these three; it changes the event, so that it
				// cannot be called twice.
				redacted, err := version.RedactEventJSON(raw)
				if err == nil {
					redacted, err = gomatrixserverlib.EnforcedCanonicalJSON(redacted, version.Version())
				}
				if err == nil {
					_, err = version.NewEventFromTrustedJSON(redacted, true)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCanonical brings PDUs into canonical form that have it already.
func BenchmarkCanonical(b *testing.B) {
	benchmarkCanonical(b, func(v canonjson.Value) []byte { return v })
}

// BenchmarkCanonicalShuffled does so with members in random order, white space
// and escapes.
func BenchmarkCanonicalShuffled(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	benchmarkCanonical(b, func(v canonjson.Value) []byte { return restyle(rng, v) })
}

func benchmarkCanonical(b *testing.B, style func(canonjson.Value) []byte) {
	_, version := versionOf("10")
	for _, body := range bodies {
		want := arrivals(b, body)[0]
		src := style(want)
		b.Run(fmt.Sprintf("parley/%d", body), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if got, err := canonjson.Canonical(src, canonjson.Strict); err != nil || !bytes.Equal(got, want) {
					b.Fatal("wrong: ", err)
				}
			}
		})
		b.Run(fmt.Sprintf("gomatrixserverlib/%d", body), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if got, err := gomatrixserverlib.EnforcedCanonicalJSON(src, version.Version()); err != nil || !bytes.Equal(got, want) {
					b.Fatal("wrong: ", err)
				}
			}
		})
	}
}

// BenchmarkAuth authorises a message in the state of a room.
func BenchmarkAuth(b *testing.B) {
	for _, members := range roomSizes {
		room, trunk := largeRoom(b, "10", members)
		sender := memberName(members / 2)
		e := room.build(trunk, nil, sender, "m.room.message", "", `{"body":"hello","msgtype":"m.text"}`)
		text := e.JSON().Without("state_key")
		b.Run(fmt.Sprintf("parley/%d", members), func(b *testing.B) {
			e, err := event.Parse(text, room.rules)
			if err != nil {
				b.Fatal(err)
			}
			state := eventauth.MapState(trunk.state)
			for b.Loop() {
				if err := eventauth.Check(e, state); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("gomatrixserverlib/%d", members), func(b *testing.B) {
			pdu, err := room.other.NewEventFromTrustedJSON(text, false)
			if err != nil {
				b.Fatal(err)
			}
			var state []gomatrixserverlib.PDU
			for _, e := range trunk.state {
				state = append(state, room.pdus[e.ID()])
			}
			provider, err := gomatrixserverlib.NewAuthEvents(state)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := gomatrixserverlib.Allowed(pdu, provider, userOf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
