package id

import (
	"database/sql"
	"database/sql/driver"
	"encoding"
	"encoding/json"
	"errors"
	"testing"
)

// Every type must be all of these; the compiler is the test.
var (
	_ = []encoding.TextUnmarshaler{(*ServerName)(nil), (*UserID)(nil), (*RoomID)(nil), (*RoomAlias)(nil), (*EventID)(nil), (*KeyID)(nil), (*ContentURI)(nil), (*DeviceID)(nil)}
	_ = []driver.Valuer{ServerName(""), UserID(""), RoomID(""), RoomAlias(""), EventID(""), KeyID(""), ContentURI(""), DeviceID("")}
)

// Each type must use its own grammar and name: a slip in the table of methods
// shows here.
func TestEachTypeDecodesItsOwnGrammar(t *testing.T) {
	for _, tt := range []struct {
		kind  Kind
		dst   sql.Scanner
		valid string
	}{
		{KindServerName, new(ServerName), "example.org"},
		{KindUserID, new(UserID), "@a:b"},
		{KindRoomID, new(RoomID), "!a:b"},
		{KindRoomAlias, new(RoomAlias), "#a:b"},
		{KindEventID, new(EventID), "$a:b"},
		{KindKeyID, new(KeyID), "a:1"},
		{KindContentURI, new(ContentURI), "mxc://a/b"},
		{KindDeviceID, new(DeviceID), "A B"},
	} {
		text, _ := json.Marshal(tt.valid)
		if err := json.Unmarshal(text, tt.dst); err != nil {
			t.Errorf("%s: decoding %s: %v", tt.kind, text, err)
		}
		if back, err := json.Marshal(tt.dst); err != nil || string(back) != string(text) {
			t.Errorf("%s: got %s, %v, want %s", tt.kind, back, err, text)
		}
		if stored, err := tt.dst.(driver.Valuer).Value(); err != nil || stored != tt.valid {
			t.Errorf("%s: got database value %v, %v, want %s", tt.kind, stored, err, tt.valid)
		}
		for _, err := range []error{json.Unmarshal([]byte(`""`), tt.dst), tt.dst.Scan(int64(1))} {
			var e *Error
			if !errors.As(err, &e) || e.Kind != tt.kind {
				t.Errorf("%s: got error %v, want one of this kind", tt.kind, err)
			}
		}
		if back, _ := json.Marshal(tt.dst); string(back) != string(text) {
			t.Errorf("%s: errors left %s, want the old value", tt.kind, back)
		}
	}
}

func TestJSON(t *testing.T) {
	type request struct {
		Sender UserID            `json:"sender,omitempty"`
		Rooms  map[RoomID]UserID `json:"rooms,omitempty"`
		Via    []ServerName      `json:"via,omitempty"`
	}
	for _, tt := range []struct {
		name string
		in   string
		ok   bool
	}{
		{"values and keys", `{"sender":"@a:b","rooms":{"!r:b":"@c:d"},"via":["b","c:80"]}`, true},
		{"absent", `{}`, true},
		{"bad value", `{"sender":"a"}`, false},
		{"bad key", `{"rooms":{"r":"@c:d"}}`, false},
		{"bad element", `{"via":["b","c d"]}`, false},
		{"present but empty", `{"sender":""}`, false},
		{"empty key", `{"rooms":{"":"@c:d"}}`, false},
		{"wrong type", `{"sender":1}`, false},
	} {
		var got request
		err := json.Unmarshal([]byte(tt.in), &got)
		if (err == nil) != tt.ok {
			t.Errorf("%s: got error %v", tt.name, err)
		}
		if err != nil {
			continue
		}
		if back, err := json.Marshal(got); err != nil || string(back) != tt.in {
			t.Errorf("%s: got %s, %v, want %s", tt.name, back, err, tt.in)
		}
	}

	got := request{Sender: "@kept:b"}
	if err := json.Unmarshal([]byte(`{"sender":null}`), &got); err != nil || got.Sender != "@kept:b" {
		t.Errorf("null: got %q, %v, want the target left as it was", got.Sender, err)
	}
}

func TestSQL(t *testing.T) {
	for _, tt := range []struct {
		name string
		src  any
		want UserID
		ok   bool
	}{
		{"NULL", nil, "", true},
		{"string", "@a:b", "@a:b", true},
		{"bytes", []byte("@a:b"), "@a:b", true},
		{"stored data is trusted", "not a user ID", "not a user ID", true},
		{"empty string", "", "", true},
		{"number", int64(1), "@old:b", false},
	} {
		got := UserID("@old:b")
		if err := got.Scan(tt.src); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}

	src := []byte("@a:b")
	var scanned UserID
	if err := scanned.Scan(src); err != nil {
		t.Fatal(err)
	}
	src[1] = 'x'
	if scanned != "@a:b" {
		t.Errorf("got %q: the identifier shares the driver's memory", scanned)
	}

	for v, want := range map[UserID]driver.Value{"@a:b": "@a:b", "": nil} {
		if got, err := v.Value(); got != want || err != nil {
			t.Errorf("value of %q: got %v, %v, want %v", v, got, err, want)
		}
	}
}
