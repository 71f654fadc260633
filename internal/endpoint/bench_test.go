package endpoint

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

const (
	benchTarget = "/_matrix/client/v3/rooms/%21room:a.test/send/m.room.message/txn1"
	benchBody   = `{"body":"Good morning, everybody","msgtype":"m.text"}`
	benchID     = `{"event_id":"$0123456789012345678901234567890123456789012"}`
)

type sendResponse struct {
	EventID id.EventID `json:"event_id"`
}

// benchServe measures a handler, not httptest: request and writer are used again.
func benchServe(b *testing.B, h http.Handler) {
	r := httptest.NewRequest("PUT", benchTarget, nil)
	r.Header.Set("Authorization", "Bearer alice")
	r.ContentLength = int64(len(benchBody))
	body := strings.NewReader(benchBody)
	closer := io.NopCloser(body)
	w := discard{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(benchBody)
		r.Body = closer
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}

// BenchmarkSend compares what a small PUT costs in a bare mux that does by hand
// what has to be done, and in a table.
func BenchmarkSend(b *testing.B) {
	const path = "/_matrix/client/v3/rooms/{roomID}/send/{type}/{txnID}"
	b.Run("bare", func(b *testing.B) {
		mux := http.NewServeMux()
		mux.HandleFunc("PUT "+path, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			var content map[string]any
			room, err := id.ParseRoomID(r.PathValue("roomID"))
			if err != nil || json.Unmarshal(body, &content) != nil || room == "" || r.PathValue("type") == "" || r.PathValue("txnID") == "" {
				b.Fatal("refused")
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(sendResponse{"$0123456789012345678901234567890123456789012"})
		})
		benchServe(b, mux)
	})
	b.Run("mux", func(b *testing.B) {
		mux := http.NewServeMux()
		mux.HandleFunc("PUT "+path, func(w http.ResponseWriter, r *http.Request) {})
		benchServe(b, mux)
	})
	type typedRequest struct {
		RoomID id.RoomID `path:"roomID"`
		Type   string    `path:"type"`
		TxnID  string    `path:"txnID"`
		Body   string    `json:"body" required:"true"`
		Kind   string    `json:"msgtype"`
	}
	type rawRequest struct {
		RoomID  id.RoomID       `path:"roomID"`
		Type    string          `path:"type"`
		TxnID   string          `path:"txnID"`
		Content canonjson.Value `body:"raw" required:"true"`
	}
	config := quietly(b)
	config.Limits = map[Class]Limit{"send": {PerSecond: 1e9, Burst: 100}}
	policy := Policy{Auth: User, Class: "send"}
	b.Run("typed", func(b *testing.B) {
		benchServe(b, New(config, []Route{On("PUT "+path, policy, func(_ context.Context, _ Caller, r typedRequest) (sendResponse, error) {
			return sendResponse{"$0123456789012345678901234567890123456789012"}, nil
		})}))
	})
	b.Run("raw", func(b *testing.B) {
		benchServe(b, New(config, []Route{On("PUT "+path, policy, func(_ context.Context, _ Caller, r rawRequest) (canonjson.Value, error) {
			return canonjson.Value(benchID), nil
		})}))
	})
}

// BenchmarkRespond shows what large responses cost: each is one buffer.
func BenchmarkRespond(b *testing.B) {
	events := make(assembled, 1000)
	for i := range events {
		events[i] = benchBody
	}
	type encoded struct {
		Events []json.RawMessage `json:"events"`
	}
	var e encoded
	for _, s := range events {
		e.Events = append(e.Events, json.RawMessage(s))
	}
	for _, row := range []struct {
		name  string
		route Route
	}{{"appended", answering("GET /a", events)}, {"encoded", answering("GET /a", e)}} {
		b.Run(row.name, func(b *testing.B) {
			table := New(quietly(b), []Route{row.route})
			r := httptest.NewRequest("GET", "/a", nil)
			w := discard{make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				table.ServeHTTP(w, r)
			}
		})
	}
}

func BenchmarkLimiter(b *testing.B) {
	l := newLimiter(map[Class]Limit{"a": {PerSecond: 10, Burst: 10}})
	c := l.classes["a"]
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			l.take(bucket{class: c, name: "@alice:a.test"})
		}
	})
	b.Run("always new", func(b *testing.B) {
		names := make([]string, 4*bucketsPerGeneration)
		for i := range names {
			names[i] = "@" + itoa(i) + ":a.test"
		}
		i := 0
		for b.Loop() {
			l.take(bucket{class: c, name: names[i%len(names)]})
			i++
		}
	})
}
