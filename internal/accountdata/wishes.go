package accountdata

import (
	"context"
	"fmt"
	"slices"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/glob"
	"parley/matrix/id"
)

// The types of account data, of no room, by which users say of whom they want to
// hear. The last is from before the specification had any.
const (
	IgnoredUsers     = "m.ignored_user_list"
	InvitePermission = "m.invite_permission_config"
	inviteBlocking   = "org.matrix.msc4380.invite_permission_config"
	inviteFiltering  = "org.matrix.msc4155.invite_permission_config"
)

// IsWish reports whether account data of a type, of no room, says of whom the user
// wants to hear.
func IsWish(dataType string) bool {
	switch dataType {
	case IgnoredUsers, InvitePermission, inviteBlocking, inviteFiltering:
		return true
	}
	return false
}

// An Invite says what becomes of an invite.
type Invite uint8

const (
	InviteShown   Invite = iota
	InviteHidden         // the user is not told
	InviteBlocked        // who invites is told that it is not wanted
)

// wishes are of whom a user wants to hear.
type wishes struct {
	user    id.UserID
	ignored map[id.UserID]bool
	blocked bool // no invites at all
	invites []inviteRule
	size    int
}

// An inviteRule says what becomes of invites by those who match.
type inviteRule struct {
	server  bool // it is about servers
	pattern *glob.Pattern
	then    Invite
}

// mostWishes is how many bytes of these are kept in memory.
const mostWishes = 8 << 20

// maxInviteRules is how many rules are followed of what a user has set.
const maxInviteRules = 2000

func (w *wishes) weight() int {
	if w == nil {
		return 100
	}
	return 300 + 3*w.size
}

// Ignored returns whom a user wants to hear nothing of, never the user. The result
// must not be changed.
// https://spec.matrix.org/v1.19/client-server-api/#ignoring-users
func (s *Store) Ignored(ctx context.Context, user id.UserID) (map[id.UserID]bool, error) {
	w, err := s.wishesOf(ctx, user)
	if err != nil {
		return nil, err
	}
	return w.ignored, nil
}

// Invite returns what becomes of an invite of a user by another. Those who speak
// for the server can be ignored by name only.
// https://spec.matrix.org/v1.19/client-server-api/#invite-permission
func (s *Store) Invite(ctx context.Context, user, by id.UserID) (Invite, error) {
	w, err := s.wishesOf(ctx, user)
	switch {
	case err != nil:
		return 0, err
	case w.blocked && !slices.Contains(s.official, by):
		return InviteBlocked, nil
	case w.ignored[by]:
		return InviteHidden, nil
	case slices.Contains(s.official, by):
		return InviteShown, nil
	}
	name, server := glob.Fold(nil, []byte(by)), glob.Fold(nil, []byte(by.Server().Host()))
	for _, r := range w.invites {
		subject := name
		if r.server {
			subject = server
		}
		if r.pattern.Match(subject) {
			return r.then, nil
		}
	}
	return InviteShown, nil
}

// wishesOf returns the wishes of a user, from memory if they are there.
func (s *Store) wishesOf(ctx context.Context, user id.UserID) (*wishes, error) {
	scope := journal.UserScope(user)
	if w, ok := s.wishes.Get(scope); ok && w != nil && w.user == user {
		return w, nil
	}
	version := s.wishes.Version(scope)
	w := &wishes{user: user}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		for row, err := range tx.Query(`
			SELECT type, content FROM account_data WHERE user_id = $1 AND room_id = '' AND type IN ($2, $3, $4, $5)`,
			user, IgnoredUsers, InvitePermission, inviteBlocking, inviteFiltering) {
			if err != nil {
				return err
			}
			var dataType string
			var content canonjson.Value
			if err := row.Scan(&dataType, &content); err != nil {
				return err
			}
			if !isDeleted(content) {
				w.read(dataType, content)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading of whom %s wants to hear: %w", user, err)
	}
	s.wishes.PutSince(scope, w, version)
	return w, nil
}

// read adds what one piece of account data says. What makes no sense says nothing.
func (w *wishes) read(dataType string, content canonjson.Value) {
	w.size += len(content)
	switch dataType {
	case IgnoredUsers:
		w.ignored = make(map[id.UserID]bool)
		for name := range content.Get("ignored_users").Members() {
			if other, _ := name.Text(); id.UserID(other) != w.user {
				w.ignored[id.UserID(other)] = true
			}
		}
	case InvitePermission, inviteBlocking:
		w.blocked = w.blocked || content.Get("default_action").Is("block")
	case inviteFiltering:
		w.invites = inviteRules(content)
	}
}

// inviteRules returns the rules for invites, in the order in which they are applied. If
// one thing about them makes no sense there are none.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4155
func inviteRules(content canonjson.Value) (rules []inviteRule) {
	if enabled := content.Get("enabled"); enabled != nil && !enabled.True() {
		return nil
	}
	for _, list := range []struct {
		name   string
		server bool
		then   Invite
	}{
		{"allowed_users", false, InviteShown}, {"ignored_users", false, InviteHidden}, {"blocked_users", false, InviteBlocked},
		{"allowed_servers", true, InviteShown}, {"ignored_servers", true, InviteHidden}, {"blocked_servers", true, InviteBlocked},
	} {
		patterns := content.Get(list.name)
		if kind := patterns.Kind(); kind != canonjson.Array && kind != canonjson.Absent {
			return nil
		}
		for v := range patterns.Elements() {
			text, ok := v.Text()
			if !ok {
				return nil
			}
			if len(rules) < maxInviteRules {
				rules = append(rules, inviteRule{list.server, glob.Compile(text), list.then})
			}
		}
	}
	return rules
}

// forgetWishes forgets what is known in memory of a user whose wishes have changed.
// The change must be durable.
func (s *Store) forgetWishes(scope journal.Scope) {
	s.wishes.Change(scope, func(*wishes) *wishes { return nil })
}

// foreignWishes takes in what other nodes have changed.
func (s *Store) foreignWishes(entries []journal.Entry) {
	for _, e := range entries {
		if e.Kind == journal.KindAccountData {
			s.forgetWishes(e.Scope)
		}
	}
}
