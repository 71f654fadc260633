package openapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"parley/matrix/mxerr"
)

// common reports whether any operation may be refused with a status and code,
// whether its documentation says so or not.
// https://spec.matrix.org/v1.19/client-server-api/#common-error-codes
func common(status int, code mxerr.Code) bool {
	switch status {
	case http.StatusBadRequest: // there are many ways to ask for what makes no sense
		return true
	case http.StatusUnauthorized:
		return code == mxerr.MissingToken || code == mxerr.UnknownToken || code == mxerr.UserLocked
	case http.StatusForbidden:
		switch code {
		case mxerr.Forbidden, mxerr.UserSuspended, mxerr.GuestAccessForbidden:
			return true
		case mxerr.CannotLeaveServerNoticeRoom: // the prose has it
			return true
		}
		return false
	case http.StatusNotFound:
		return code == mxerr.NotFound || code == mxerr.Unrecognized
	case http.StatusMethodNotAllowed:
		return code == mxerr.Unrecognized
	case http.StatusRequestTimeout: // the body did not come
		return code == mxerr.Unknown
	case http.StatusRequestEntityTooLarge: // or too much of it
		return code == mxerr.TooLarge
	case http.StatusTooManyRequests:
		return code == mxerr.LimitExceeded
	}
	return false
}

// isPage reports whether a path is that of a page for people, which is HTML
// whatever happens.
// https://spec.matrix.org/v1.19/client-server-api/#fallback
func isPage(path string) bool {
	return strings.HasPrefix(path, "/_matrix/client/v3/auth/") && strings.HasSuffix(path, "/fallback/web") ||
		path == "/_matrix/client/unstable/org.parley/validate/email" || path == "/_matrix/client/unstable/org.parley/unsubscribe" ||
		strings.HasPrefix(path, "/_matrix/client/unstable/org.parley/sso/") || strings.HasPrefix(path, "/_matrix/client/v3/login/sso/redirect")
}

// passedOn reports whether an operation is one that asks a server which the caller
// names, and a refusal says that this one gave no answer of use: the fault is not
// ours, so the statuses are those that the specification has where an application
// service is asked in the same way.
func passedOn(key string, status int, code mxerr.Code) bool {
	return (status == http.StatusBadGateway || status == http.StatusGatewayTimeout) && code.Status() == status && asks[key] != ""
}

// elsewhere reports whether a refusal says that files cannot be kept at present by who
// keeps them for this server, which is what the specification has status 502 for where
// they are given out; or that who brings notifications to a device does not answer, so that
// they are to be sent again.
func elsewhere(key string, status int, code mxerr.Code) bool {
	return (strings.Contains(key, "/media/") || key == "POST /_matrix/push/v1/notify") && status == http.StatusBadGateway && code == mxerr.Unknown
}

// unsigned reports whether a refusal says to another server that its request is not signed
// as it has to be, of which the specification says in words only that it fails.
// https://spec.matrix.org/v1.19/server-server-api/#request-authentication
func unsigned(key string, status int, code mxerr.Code) bool {
	return strings.Contains(key, "/_matrix/federation/") && status == http.StatusUnauthorized && code == mxerr.Unauthorized
}

// inParts reports whether a status is that of HTTP for a request for a part of a
// file, or for one that is known already, of which the specification says nothing.
// https://www.rfc-editor.org/rfc/rfc9110#section-14
func inParts(key string, status int) bool {
	if !strings.Contains(key, "/media/") || !strings.HasPrefix(key, "GET ") {
		return false
	}
	return status == http.StatusPartialContent || status == http.StatusNotModified || status == http.StatusRequestedRangeNotSatisfiable
}

// waitsForDevice reports whether a status says that a pusher has to be activated first:
// MSC4174.
func waitsForDevice(key string, status int) bool {
	return key == "POST /_matrix/client/v3/pushers/set" && status == http.StatusCreated
}

// asks are the operations that ask another server, with what for.
var asks = map[string]string{
	"POST /_matrix/client/v3/createRoom":            "an identity server, for who is invited by mail",
	"POST /_matrix/client/v3/rooms/{roomId}/invite": "as above",
}

// loose are the operations whose schema the answer does not have to follow, with
// the reason. Most of them give back what clients sent, whatever that is.
var loose = map[string]string{
	"GET /_matrix/client/v3/user/{userId}/filter/{filterId}":             "a filter is kept as it was sent",
	"GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}": "the content of an event may be anything",
	"GET /_matrix/client/v3/user/{userId}/rooms/{roomId}/tags":           "what there is about a tag is for clients to understand",
	"GET /_matrix/client/v3/events":                                      "the schema has events of rooms only, and the stream presence and who is typing, too",
	"GET /_matrix/client/v3/room_keys/version":                           "a backup is kept as it was made, with whatever algorithm",
	"GET /_matrix/client/v3/room_keys/version/{version}":                 "as above",
	"GET /_matrix/client/v3/pushers":                                     "data is kept as it was sent, and MSC3881 adds members",
	"GET /_matrix/client/v3/voip/turnServer":                             "where there is none, clients take only an empty answer for that",
}

// cut reports whether a request is for events in another form than that of the
// schemas: as other servers see them, or without some of their members. Of a
// filter that is named by its ID only the server knows.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridfilter
func cut(query string) bool {
	q, err := url.ParseQuery(query)
	filter := q.Get("filter")
	return err != nil || filter != "" && (filter[0] != '{' || strings.Contains(filter, "event_f"))
}

// additional are the members beyond the schemas that answers have here, by
// operation, with the reason.
var additional = map[string]map[string]string{
	"GET /_matrix/client/v3/sync": {
		"msc4354_sticky":                 "events that are sticky, MSC4354",
		"org.matrix.msc4429.users":       "fields of profiles, MSC4429",
		"org.matrix.msc4222.state_after": "clients ask for it that do not know yet that the specification has it",

		"device_unused_fallback_key_types": "the specification has it in prose only",
	},
	"GET /_matrix/client/v3/login": {
		"identity_providers": "it is in a schema of its own, of one kind of flow",
	},
	"POST /_matrix/client/v3/keys/claim": {
		"fallback": "the specification has it in prose only",
	},
	"GET /_matrix/client/v3/pushrules/":        {"postcontent": "rules about threads, MSC4306"},
	"GET /_matrix/client/v3/pushrules/global/": {"postcontent": "as above"},
	"GET /_matrix/client/v3/pushrules/global/{kind}/{ruleId}": {
		"subscribed": "a condition about threads, MSC4306",
	},
	"GET /_matrix/client/v3/initialSync": {
		"receipts": "a client that begins here has no other way to learn of them",
	},
	"PUT /_matrix/federation/v2/send_join/{roomId}/{eventId}": {
		"origin": "servers want it that are older than what the specification made of it",
	},
	"GET /_matrix/client/v3/rooms/{roomId}/initialSync": {
		"receipts": "as above",
		"presence": "as above",
	},
}

// inEvents are the members beyond the schemas that the server adds to events.
var inEvents = map[string]string{
	"msc4354_sticky_duration_ttl_ms": "for how long an event is sticky still, MSC4354",
	"delay_id":                       "who has sent an event later finds by it what was sent, MSC4140",
	"org.matrix.msc4140.delay_id":    "as above",
}

// addedToEvents reports whether a member is one that the server adds to events.
func addedToEvents(at []string) bool {
	return len(at) > 1 && at[len(at)-2] == "unsigned" && inEvents[at[len(at)-1]] != ""
}

// ofWholeEvent reports whether a member is one of an event between servers, of which the
// schemas have some: the rest depends on the version of the room.
// https://spec.matrix.org/v1.19/rooms/
func ofWholeEvent(key string, at []string) bool {
	return strings.Contains(key, "/_matrix/federation/") && slices.Contains(at, "event")
}

// delays reports whether a request to send something asks that it be sent later, of
// which the answer is another one: MSC4140.
func delays(query string) bool { return strings.Contains(query, "delay=") }

// proposed are the codes of what the specification does not have yet, with the
// proposal.
var proposed = map[string]string{
	"IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION": "MSC4306",
	"IO.ELEMENT.MSC4306.M_NOT_IN_THREAD":              "MSC4306",
	"M_EXPIRED_ACTIVATION_TOKEN":                      "MSC4174",
	"M_UNKNOWN_ACTIVATION_TOKEN":                      "MSC4174",
	"M_CONCURRENT_WRITE":                              "MSC4108, MSC4388",
	"IO_ELEMENT_MSC4388_CONCURRENT_WRITE":             "MSC4388",
}

// confirmed are the operations that a user may have to confirm by their
// description, though no schema says so, each with one that does.
var confirmed = map[string]string{
	"POST /_matrix/client/v3/keys/device_signing/upload": "POST /_matrix/client/v3/delete_devices",
}
