package csapi

import (
	"maps"
	"slices"
	"testing"

	"parley/internal/endpoint"
)

// TestGuestsMayCallWhatTheSpecificationNames: no route is open to guests by
// oversight. https://spec.matrix.org/v1.19/client-server-api/#guest-access
func TestGuestsMayCallWhatTheSpecificationNames(t *testing.T) {
	named := map[string]string{
		"GET rooms/{roomID}/state":                             "",
		"GET rooms/{roomID}/context/{eventID}":                 "",
		"GET rooms/{roomID}/event/{eventID}":                   "",
		"GET rooms/{roomID}/state/{eventType}/{stateKey}":      "",
		"GET rooms/{roomID}/messages":                          "",
		"GET rooms/{roomID}/members":                           "",
		"GET rooms/{roomID}/initialSync":                       "",
		"GET sync":                                             "",
		"GET events":                                           "",
		"POST rooms/{roomID}/join":                             "",
		"POST rooms/{roomID}/leave":                            "",
		"PUT rooms/{roomID}/send/{eventType}/{txnID}":          "",
		"PUT rooms/{roomID}/state/{eventType}/{stateKey}":      "",
		"PUT profile/{userID}/{keyName}":                       "the displayname only, says the handler",
		"DELETE profile/{userID}/{keyName}":                    "the displayname only, says the handler",
		"GET devices":                                          "",
		"GET devices/{deviceID}":                               "",
		"PUT devices/{deviceID}":                               "",
		"PUT sendToDevice/{eventType}/{txnID}":                 "",
		"GET media/download/{serverName}/{mediaID}":            "what is sent into rooms that they read",
		"GET media/download/{serverName}/{mediaID}/{fileName}": "what is sent into rooms that they read",
		"GET media/thumbnail/{serverName}/{mediaID}":           "what is sent into rooms that they read",

		"GET delayed_events":                                                            "as sending at once",
		"GET delayed_events/{delayID}":                                                  "as sending at once",
		"POST delayed_events/{delayID}/cancel":                                          "as sending at once",
		"POST delayed_events/{delayID}/restart":                                         "as sending at once",
		"POST delayed_events/{delayID}/send":                                            "as sending at once",
		"PUT rooms/{roomID}/delayed_event/{eventType}/{txnID}":                          "as sending at once",
		"GET table/org.matrix.msc4140/delayed_events":                                   "as sending at once",
		"GET table/org.matrix.msc4140/delayed_events/{delayID}":                         "as sending at once",
		"POST table/org.matrix.msc4140/delayed_events/{delayID}":                        "as sending at once",
		"POST table/org.matrix.msc4140/delayed_events/{delayID}/cancel":                 "as sending at once",
		"POST table/org.matrix.msc4140/delayed_events/{delayID}/restart":                "as sending at once",
		"POST table/org.matrix.msc4140/delayed_events/{delayID}/send":                   "as sending at once",
		"PUT table/org.matrix.msc4140/rooms/{roomID}/delayed_event/{eventType}/{txnID}": "as sending at once",

		"POST keys/upload":                         "without keys there is nothing to send to devices",
		"POST keys/query":                          "without keys there is nothing to send to devices",
		"POST keys/claim":                          "without keys there is nothing to send to devices",
		"GET account/whoami":                       "",
		"GET rooms/{roomID}/state/{eventType}":     "the same with an empty state key",
		"GET rooms/{roomID}/state/{eventType}/{$}": "the same with an empty state key",
		"PUT rooms/{roomID}/state/{eventType}":     "the same with an empty state key",
		"PUT rooms/{roomID}/state/{eventType}/{$}": "the same with an empty state key",
		"POST join/{roomIDOrAlias}":                "as by the ID, which is what the alias stands for",
		"GET joined_rooms":                         "it says nothing that /sync does not",
		"POST publicRooms":                         "as GET, for which nobody needs an account",
		"POST logout":                              "else the session could not be ended",
		"POST logout/all":                          "else the session could not be ended",
	}
	open := make(map[string]string)
	server := New(Parts{Settings: Settings{LoginTokens: true, SharedSecret: "s", Guests: true}})
	for _, r := range server.Routes() {
		if r.Auth == endpoint.UserOrGuest {
			open[r.Method+" "+r.Pattern[len("/_matrix/client/v3/"):]] = ""
		}
	}
	for _, route := range slices.Sorted(maps.Keys(open)) {
		if _, ok := named[route]; !ok {
			t.Errorf("%s is open to guests", route)
		}
	}
	for _, route := range slices.Sorted(maps.Keys(named)) {
		if _, ok := open[route]; !ok {
			t.Errorf("%s is not open to guests", route)
		}
	}
}
