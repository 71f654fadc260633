package event

import (
	"strconv"
	"strings"
	"testing"

	"parley/matrix/canonjson"
)

// bodies are the sizes that every benchmark runs at: a chat message, and a
// long one.
var bodies = []int{200, 20_000}

// benchProto is a message with a body of n bytes.
func benchProto(n int) Proto {
	p := greeting()
	p.RoomID = "!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"
	p.Content = canonjson.Value(`{"body":"` + strings.Repeat("A message. ", n/11+1)[:n] + `","msgtype":"m.text"}`)
	p.PrevEvents = []Reference{{ID: "$CD66HAED5npg6074c6pDtLKalHjVfYb2q4Q3LZgrW6o"}}
	p.AuthEvents = []Reference{
		{ID: "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"},
		{ID: "$acR1l0raoZnm60CBwAVgqbZqoO_mYU81xysh1u7XcJk"},
		{ID: "$zU8yGBagCjiVTHicqLOORgRVrXnEgv76Ux0_ge-NiFg"},
	}
	return p
}

func benchEvent(b *testing.B, n int, depth int64) *Event {
	p := benchProto(n)
	p.Depth = depth
	e, err := p.Build(rulesOf(b, "12"), "town.test", testKey(b))
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// eachBody runs a benchmark per size, counting the bytes of the whole PDU.
func eachBody(b *testing.B, bench func(b *testing.B, e *Event)) {
	for _, n := range bodies {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			e := benchEvent(b, n, 12)
			b.SetBytes(int64(len(e.JSON())))
			b.ReportAllocs()
			bench(b, e)
		})
	}
}

func BenchmarkParse(b *testing.B) {
	eachBody(b, func(b *testing.B, e *Event) {
		for b.Loop() {
			if _, err := Parse(e.JSON(), e.Rules()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkParseRewrites parses what is not canonical yet.
func BenchmarkParseRewrites(b *testing.B) {
	eachBody(b, func(b *testing.B, e *Event) {
		raw := append([]byte(`{"unsigned":{"age":1},`), e.JSON()[1:]...)
		for b.Loop() {
			if _, err := Parse(raw, e.Rules()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	eachBody(b, func(b *testing.B, e *Event) {
		for b.Loop() {
			if _, err := Load(e.JSON(), e.ID(), e.Rules()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRedacted(b *testing.B) {
	eachBody(b, func(b *testing.B, e *Event) {
		for b.Loop() {
			e.Redacted()
		}
	})
}

func BenchmarkHashMatches(b *testing.B) {
	eachBody(b, func(b *testing.B, e *Event) {
		for b.Loop() {
			if !e.HashMatches() {
				b.Fatal("the hash does not match")
			}
		}
	})
}

// BenchmarkVerify is of a verifier that remembers nothing.
func BenchmarkVerify(b *testing.B) {
	keys := keysOf(testKey(b))
	eachBody(b, func(b *testing.B, e *Event) {
		v := NewVerifier(0)
		for b.Loop() {
			if err := v.Verify(e, keys); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkVerifyAgain is of an event whose signature is remembered.
func BenchmarkVerifyAgain(b *testing.B) {
	keys := keysOf(testKey(b))
	eachBody(b, func(b *testing.B, e *Event) {
		v := NewVerifier(2)
		for b.Loop() {
			if err := v.Verify(e, keys); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReceiveAll is of 1,000 events and an empty memory each time.
func BenchmarkReceiveAll(b *testing.B) {
	keys := keysOf(testKey(b))
	for _, n := range bodies {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			events := make([]*Event, 1000)
			for i := range events {
				events[i] = benchEvent(b, n, int64(i))
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, r := range NewVerifier(2*len(events)).ReceiveAll(events, keys) {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
			}
			b.ReportMetric(float64(len(events)*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkAppendClient(b *testing.B) {
	eachBody(b, func(b *testing.B, e *Event) {
		var out []byte
		for b.Loop() {
			out = e.AppendClient(out[:0], Client{OmitRoomID: true})
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	key := testKey(b)
	for _, n := range bodies {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			p, rules := benchProto(n), rulesOf(b, "12")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Build(rules, "town.test", key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
