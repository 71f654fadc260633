package eventauth

import (
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/glob"
	"parley/matrix/id"
)

// ACL is the server access control list of a room:
// https://spec.matrix.org/v1.19/client-server-api/#mroomserver_acl
// It restricts which servers may make requests about the room and send events
// into it, and plays no part in the authorization of events. The zero ACL is
// that of a room without one.
type ACL struct {
	present     bool
	denyLiteral bool
	allow, deny []*glob.Pattern
}

// NewACL reads the content of an m.room.server_acl event; nil is a room
// without one. Parts of the wrong type count as absent, and so do patterns
// that are no strings.
func NewACL(e *event.Event) ACL {
	if e == nil {
		return ACL{}
	}
	content := e.Content()
	return ACL{
		present:     true,
		denyLiteral: content.Get("allow_ip_literals").False(),
		allow:       patterns(content.Get("allow")),
		deny:        patterns(content.Get("deny")),
	}
}

func patterns(list canonjson.Value) []*glob.Pattern {
	var ps []*glob.Pattern
	for v := range list.Elements() {
		if s, ok := v.Text(); ok {
			ps = append(ps, glob.Compile(s))
		}
	}
	return ps
}

// Allows reports whether the list lets a server take part. Its port does not
// matter, nor does case.
func (a ACL) Allows(server id.ServerName) bool {
	// 1. If there is no m.room.server_acl event in the room state, allow.
	if !a.present {
		return true
	}
	// 2. If the server name is an IP address (v4 or v6) literal, and
	// allow_ip_literals is present and false, deny.
	if a.denyLiteral && server.IsIPLiteral() {
		return false
	}
	host := glob.Fold(nil, []byte(server.Host()))
	// 3. If the server name matches an entry in the deny list, deny.
	// 4. If the server name matches an entry in the allow list, allow.
	// 5. Otherwise, deny.
	return !matchAny(a.deny, host) && matchAny(a.allow, host)
}

func matchAny(patterns []*glob.Pattern, host []byte) bool {
	for _, p := range patterns {
		if p.Match(host) {
			return true
		}
	}
	return false
}
