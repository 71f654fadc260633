package difftest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/matrix-org/gomatrixserverlib"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// numbers returns the numbers in the text.
func (d eventDifference) numbers() (found []string) {
	inString := false
	for i := 0; i < len(d.raw); i++ {
		switch c := d.raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case !inString && (c == '-' || '0' <= c && c <= '9'):
			end := i
			for end < len(d.raw) && strings.IndexByte("+-.0123456789eE", d.raw[end]) >= 0 {
				end++
			}
			found = append(found, string(d.raw[i:end]))
			i = end - 1
		}
	}
	return found
}

// rewritten reports whether a number in the text is not as parley writes it.
func (d eventDifference) rewritten() bool {
	for _, n := range d.numbers() {
		canonical, err := canonjson.Canonical([]byte(n), canonjson.Lenient)
		if err == nil && string(canonical) != n && n != "-0" {
			return true
		}
	}
	return false
}

// losesSign reports whether a number has a minus sign before a zero.
func (d eventDifference) losesSign() bool {
	return slices.ContainsFunc(d.numbers(), func(n string) bool { return strings.Contains(n, "-0") && n != "-0" })
}

// escapedName reports whether the name of a member needs an escape.
func escapedName(v canonjson.Value) bool {
	for name, value := range v.Members() {
		if bytes.IndexByte(name, '\\') >= 0 || escapedName(value) {
			return true
		}
	}
	for item := range v.Elements() {
		if escapedName(item) {
			return true
		}
	}
	return false
}

// duplicates reports whether an object in the text has two members of one
// name.
func (d eventDifference) duplicates() bool {
	dec := json.NewDecoder(bytes.NewReader(d.raw))
	var walk func() bool
	walk = func() bool {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		delim, ok := token.(json.Delim)
		if !ok {
			return false
		}
		found := false
		names := make(map[string]bool)
		for dec.More() {
			if delim == '{' {
				name, err := dec.Token()
				if err != nil {
					return found
				}
				found = found || names[name.(string)]
				names[name.(string)] = true
			}
			if walk() {
				found = true
			}
		}
		dec.Token()
		return found
	}
	return walk()
}

var knownNames = append([]string{"membership", "ban", "users", "join_rule", "creator", "third_party_invite", "invite"}, topLevel...)

// wrongCase reports whether a member of the event or its content has the name
// of another but for case.
func (d eventDifference) wrongCase() bool {
	for _, object := range []canonjson.Value{d.value, d.value.Get("content")} {
		for name := range object.Members() {
			for _, known := range knownNames {
				if strings.EqualFold(known, name.String()) && !name.Is(known) {
					return true
				}
			}
		}
	}
	return false
}

// removed reports whether the event has a top-level member that
// gomatrixserverlib removes.
func (d eventDifference) removed() bool {
	names := []string{"outlier", "destinations", "age_ts"}
	if d.w.rules.EventID != roomver.EventIDCarried {
		names = append(names, "event_id")
	}
	return slices.ContainsFunc(names, func(name string) bool { return d.value.Get(name) != nil })
}

// throughFloats reports whether what redaction keeps of content changes when
// all its numbers become binary64.
func (d eventDifference) throughFloats() bool {
	content := d.e.Redacted().Content()
	var generic any
	if json.Unmarshal(content, &generic) != nil {
		return false
	}
	text, err := json.Marshal(generic)
	if err != nil {
		return false
	}
	text, err = gomatrixserverlib.CanonicalJSON(text)
	return err == nil && !bytes.Equal(text, content)
}

// keepsInvite reports whether redaction keeps something of a third-party
// invite.
func (d eventDifference) keepsInvite() bool {
	return d.e != nil && d.e.Redacted().Content().Get("third_party_invite") != nil && d.e.Type() == event.TypeMember
}

// signatureDiffers reports whether the signature is over something that the
// libraries read differently.
func (d eventDifference) signatureDiffers() bool { return d.onlyOther("signatures", "Bad signature") }

// received is what parley goes on with.
func (d eventDifference) received() *event.Event {
	if d.e == nil || d.e.HashMatches() {
		return d.e
	}
	return d.e.Redacted()
}

func (d eventDifference) signedBy(server id.ServerName) bool {
	return event.NewVerifier(0).VerifyServer(d.received(), server, publishedKey) == nil
}
