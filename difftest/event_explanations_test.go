package difftest

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
)

// onlyParley reports whether parley alone refuses, for a reason that the
// pattern matches.
func (d eventDifference) onlyParley(aspect, pattern string) bool {
	return d.aspect == aspect && d.err != nil && d.otherErr == nil && matches(pattern, d.err.Error())
}

// onlyOther is the same of gomatrixserverlib.
func (d eventDifference) onlyOther(aspect, pattern string) bool {
	return d.aspect == aspect && d.err == nil && d.otherErr != nil && matches(pattern, d.otherErr.Error())
}

// valuesDiffer reports whether both answer, and not the same.
func (d eventDifference) valuesDiffer(aspects ...string) bool {
	return slices.Contains(aspects, d.aspect) && d.err == nil && d.otherErr == nil
}

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// formatError returns the field for which parley refuses an event that
// gomatrixserverlib takes, or panics on later.
func (d eventDifference) formatError() (field, reason string) {
	var e *event.FormatError
	if d.aspect != "parse" || d.otherErr != nil && !isPanic(d.otherErr) || !errors.As(d.err, &e) {
		return "", ""
	}
	return e.Field, e.Reason
}

var valueAspects = []string{"content hash", "event ID", "JSON", "redacted"}

var eventExplanations = []explanation[eventDifference]{
	// JSON.
	{
		"drops every minus sign before a zero: -0.5 becomes 0.5, and 1e-07 becomes 1e07",
		"appendices, canonical JSON: the value of a number stays",
		func(d eventDifference) bool {
			return d.losesSign() && (d.valuesDiffer("canonical JSON") || d.valuesDiffer(valueAspects...))
		},
	},
	{
		"keeps numbers with a fraction or exponent as they were written",
		"rooms/v1, canonical JSON: not enforced; the hash is over what the sender's server wrote, which was the shortest form",
		func(d eventDifference) bool {
			return d.rewritten() && (d.valuesDiffer("canonical JSON") || d.valuesDiffer(valueAspects...))
		},
	},
	{
		"takes numbers beyond binary64",
		"rooms/v1, power levels as floats: values outside the range of binary64 are rejected",
		func(d eventDifference) bool {
			return d.onlyParley("canonical JSON", "beyond binary64") || d.onlyParley("parse", "beyond binary64")
		},
	},
	{
		"takes an exponent with a capital E, and zero with a fraction or exponent, for integers",
		"appendices, canonical JSON: numbers are integers without fraction, exponent or negative zero",
		func(d eventDifference) bool {
			return (d.onlyParley("canonical JSON", "is not an integer in plain digits") || d.onlyParley("parse", "is not an integer in plain digits")) &&
				slices.ContainsFunc(d.numbers(), func(n string) bool {
					return strings.Contains(n, "E") || matches(`^-?0(\.0+)?(e.*)?$`, n)
				})
		},
	},
	{
		"takes lone surrogates, as U+FFFD or worse",
		"appendices, canonical JSON: UTF-8, which has no surrogates",
		func(d eventDifference) bool {
			return (d.onlyParley("canonical JSON", "lone surrogate") || d.onlyParley("parse", "lone surrogate")) && matches(`\\u[dD][89a-fA-F]`, string(d.raw))
		},
	},
	{
		"takes strings that are not UTF-8",
		"appendices, canonical JSON: encoded in UTF-8",
		func(d eventDifference) bool {
			return d.onlyParley("canonical JSON", "not valid UTF-8") || d.onlyParley("parse", "not valid UTF-8")
		},
	},
	{
		"takes values that nest deeper than 512",
		"no limit is specified; other servers stop between 128 and 1,000",
		func(d eventDifference) bool {
			return d.onlyParley("canonical JSON", "nested deeper") || d.onlyParley("parse", "nested deeper")
		},
	},
	{
		"does not read members that it removes, so they may be no JSON at all",
		"appendices, canonical JSON grammar",
		func(d eventDifference) bool {
			if !d.onlyParley("parse", "invalid JSON") {
				return false
			}
			_, err := gomatrixserverlib.CanonicalJSON(d.raw)
			return err != nil
		},
	},

	// Form.
	{
		"does not ask for fields that every event has",
		"rooms/v11, event format: auth_events, content, depth, hashes, origin_server_ts, prev_events, room_id, sender, signatures and type are required",
		func(d eventDifference) bool { _, reason := d.formatError(); return reason == "missing" },
	},
	{
		"takes any value for objects of an event",
		"rooms/v11, event format: content, hashes, signatures and unsigned are objects",
		func(d eventDifference) bool { _, reason := d.formatError(); return reason == "not an object" },
	},
	{
		"takes null for an absent field, or for the zero of its type",
		"rooms/v11, event format: null is no string, integer or array",
		func(d eventDifference) bool {
			field, reason := d.formatError()
			return strings.HasPrefix(reason, "not a") && d.value.Get(field).Kind() == canonjson.Null
		},
	},
	{
		"does not limit depth",
		"rooms/v6, event format: depth is at most 2^53-1; nothing precedes depth 0",
		func(d eventDifference) bool {
			field, reason := d.formatError()
			return field == "depth" && strings.Contains(reason, "is not between")
		},
	},
	{
		"takes times up to 2^64-1",
		"rooms/v11, event format: int64",
		func(d eventDifference) bool {
			field, reason := d.formatError()
			return field == "origin_server_ts" && reason == "not an integer of 64 bits"
		},
	},
	{
		"does not limit the number of prev_events and auth_events",
		"rooms/v11, event format: at most 20 and 10",
		func(d eventDifference) bool {
			_, reason := d.formatError()
			return strings.HasPrefix(reason, "more than ")
		},
	},
	{
		"takes anything for the ID of an event that another refers to",
		"rooms/v11, event format: lists of event IDs; appendices, event IDs",
		func(d eventDifference) bool {
			field, reason := d.formatError()
			return (field == "auth_events" || field == "prev_events") && (strings.HasPrefix(reason, "invalid event ID") || reason == "not a string" || strings.Contains(reason, "is not a pair"))
		},
	},
	{
		"takes anything for the ID of the event itself in room versions 1 and 2",
		"appendices, event IDs: $localpart:domain",
		func(d eventDifference) bool { field, _ := d.formatError(); return field == "event_id" },
	},
	{
		"asks of a sender's ID only for its sigil and a colon",
		"appendices, user IDs and server names",
		func(d eventDifference) bool { field, _ := d.formatError(); return field == "sender" },
	},
	{
		"asks less of server names in a room ID, or nothing",
		"appendices, room IDs and server names",
		func(d eventDifference) bool { field, _ := d.formatError(); return field == "room_id" },
	},
	{
		"measures an event without unsigned, and in redacted form when its hash does not match",
		"client-server-api, size limits: the complete event with signatures, formatted as for federation",
		func(d eventDifference) bool {
			field, reason := d.formatError()
			return field == "" && strings.HasSuffix(reason, "bytes are more than 65536")
		},
	},
	{
		"refuses events with a top-level member whose name begins with an underscore",
		"rooms/v11, event format: unknown members are allowed and hashed",
		func(d eventDifference) bool {
			if !d.onlyOther("parse", "found top-level '_' key") {
				return false
			}
			for name := range d.value.Members() {
				if strings.HasPrefix(name.String(), "_") {
					return true
				}
			}
			return false
		},
	},
	{
		"refuses times before 1970",
		"rooms/v11, event format: origin_server_ts is an integer",
		func(d eventDifference) bool {
			n, _ := d.value.Get("origin_server_ts").Int()
			return d.onlyOther("parse", `eventFields.origin_server_ts of type spec.Timestamp`) && n < 0
		},
	},
	{
		"refuses integers that are written with an exponent or as -0",
		"appendices, canonical JSON: the example turns 1e10 into 10000000000 and -0 into 0; room versions 1 to 5 do not enforce the format",
		func(d eventDifference) bool {
			return d.onlyOther("parse", `cannot unmarshal number (-0|[0-9.]+[eE][0-9+]+) into`) && !d.w.rules.StrictJSON
		},
	},
	{
		"refuses events whose redacts is no string, also where it means nothing",
		"rooms/v11, event format: redacts is a member of content; elsewhere it matters in redactions",
		func(d eventDifference) bool {
			redacts := d.value.Get("redacts")
			return d.onlyOther("parse", `eventFields.redacts of type string`) && redacts != nil && redacts.Kind() != canonjson.String
		},
	},
	{
		"refuses references whose sha256 is no string of Base64",
		"rooms/v1, event format: the ID is what refers; the hash is not checked by anyone",
		func(d eventDifference) bool {
			return d.onlyOther("parse", "invalid event reference, second element is invalid") && d.w.rules.HashedReferences
		},
	},
	{
		"refuses create events of room version 12 with a state key or none",
		"rooms/v12, event format: create events have no room_id; rule 1 asks for the type",
		func(d eventDifference) bool {
			return d.onlyOther("parse", "room_id must start with !") && d.value.Get("type").Is(event.TypeCreate) && !d.value.Get("state_key").Is("")
		},
	},
	{
		"refuses room IDs without a domain before room version 12",
		"rooms/v11: no create event can make such a room (rule 1.2), so nothing follows from taking the ID for one",
		func(d eventDifference) bool {
			_, hasServer := id.RoomID(d.value.Get("room_id").String()).Server()
			return d.onlyOther("parse", "invalid ID") && !hasServer && !d.w.rules.RoomIDFromCreate
		},
	},
	{
		"panics on room IDs that are not of the usual form",
		"appendices, room IDs: the localpart is opaque and may be empty",
		func(d eventDifference) bool {
			return d.aspect == "parse" && isPanic(d.otherErr) && matches("RoomID is invalid", d.otherErr.Error())
		},
	},

	// Hashes and redaction.
	{
		"removes members that servers once added by mistake before it hashes",
		"server-server-api, content hash: without unsigned, signatures and hashes only; event_id is kept by redaction",
		func(d eventDifference) bool {
			return d.removed() && (d.valuesDiffer(valueAspects...) || d.signatureDiffers() || d.onlyParley("signatures", "does not match"))
		},
	},
	{
		"takes no padding in the Base64 of a content hash",
		"appendices, unpadded Base64: decoders should accept padding",
		func(d eventDifference) bool {
			sum, _ := d.value.Get("hashes").Get("sha256").Text()
			return d.valuesDiffer("content hash") && strings.HasSuffix(sum, "=")
		},
	},
	{
		"reads and writes what redaction keeps through binary64",
		"server-server-api, reference hash: over the redacted event, whose values redaction does not touch",
		func(d eventDifference) bool {
			return d.e != nil && d.throughFloats() && (d.valuesDiffer(valueAspects...) || d.signatureDiffers())
		},
	},
	{
		"keeps nothing of third_party_invite in room versions 11 and 12",
		"rooms/v11, redactions: m.room.member allows the key third_party_invite, cut to signed",
		func(d eventDifference) bool {
			return d.keepsInvite() && (d.valuesDiffer(valueAspects...) || d.signatureDiffers())
		},
	},

	// Signatures.
	{
		"demands the signature of the invited user's server",
		"server-server-api, validating hashes and signatures: only the sender's server, and that of the event ID in room versions 1 and 2",
		func(d eventDifference) bool {
			if !d.onlyOther("signatures", "") {
				return false
			}
			target, _ := d.received().StateKey()
			return d.received().Membership() == "invite" && !d.signedBy(id.UserID(target).Server())
		},
	},
	{
		"drops a join that its authorising user's server did not sign",
		"rooms/v8 rule 4.2.1: such an event is rejected",
		func(d eventDifference) bool {
			if !d.onlyOther("signatures", "") {
				return false
			}
			user, present := d.received().AuthorisingUser()
			return d.received().Membership() == "join" && present && !d.signedBy(user.Server())
		},
	},
	{
		"demands the signature of the sender's server on third-party invites",
		"server-server-api, validating hashes and signatures: unless the event is a third-party invite",
		func(d eventDifference) bool {
			return d.onlyOther("signatures", "") && d.received().IsThirdPartyInvite() && !d.signedBy(d.e.Sender().Server())
		},
	},
	{
		"counts a key as expired in the very millisecond in which it expires",
		"server-server-api, validating hashes and signatures: keys that have expired prior to origin_server_ts are ignored",
		func(d eventDifference) bool {
			return d.onlyOther("signatures", "not valid at") && d.e.OriginServerTS() == expiry && bytes.Contains(d.value, []byte(`"ed25519:expired"`))
		},
	},
	{
		"is content with one good signature of a server among bad ones",
		"server-server-api, validating hashes and signatures: if all signatures from known unexpired keys are found to be valid",
		func(d eventDifference) bool {
			n := 0
			var e *event.SignatureError
			if d.onlyParley("signatures", "key ed25519:[^ ]*: ") && errors.As(d.err, &e) {
				for range d.value.Get("signatures").Get(string(e.Server)).Members() {
					n++
				}
			}
			return n > 1
		},
	},
	{
		"refuses all signatures when any is malformed, even of a server or key that does not matter",
		"server-server-api, validating hashes and signatures: only signatures from known server keys are validated",
		func(d eventDifference) bool {
			var signatures map[string]map[string]spec.Base64Bytes
			return d.onlyOther("signatures", "") && json.Unmarshal(d.value.Get("signatures"), &signatures) != nil
		},
	},
	{
		"drops malformed member events where it looks for signatures",
		"rooms/v11 rule 4.1: without state_key or membership, reject",
		func(d eventDifference) bool {
			return d.e != nil && d.e.Type() == event.TypeMember && d.onlyOther("signatures", "failed to get membership|failed to split state key|failed to split authorised server")
		},
	},
	{
		"finds no server in user IDs with characters beyond ASCII, or with a port beyond 65535",
		"appendices, historical user IDs and server names: any code points; one to five digits",
		func(d eventDifference) bool {
			return d.onlyOther("signatures", "invalid sender userID") && !isHistorical(string(d.e.Sender()))
		},
	},

	// What goes through everything.
	{
		"takes several members of one name as they come, in some places the first and in others the last",
		"appendices, canonical JSON: the grammar allows them; one reading must hold everywhere",
		func(d eventDifference) bool { return d.duplicates() && !(d.aspect == "canonical JSON" && d.err != nil) },
	},
	{
		"writes names of members that need an escape without it, which is no JSON",
		"appendices, canonical JSON grammar: a string escapes quotes, backslashes and control characters",
		func(d eventDifference) bool {
			return escapedName(d.value) && !(d.aspect == "canonical JSON" && d.err != nil)
		},
	},
	{
		"matches names of members regardless of case",
		"client-server-api, events: Type is not type",
		func(d eventDifference) bool { return d.wrongCase() && d.aspect != "canonical JSON" },
	},
}
