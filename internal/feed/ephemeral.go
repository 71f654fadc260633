package feed

import (
	"slices"

	"parley/internal/receipt"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// ephemeral returns the events of a room that nobody keeps: receipts and typing.
func (a *answer) ephemeral(n *news) []canonjson.Value {
	f := &a.q.Filter.Room.Ephemeral
	if !f.AllowsRoom(n.id) {
		return nil
	}
	var events []canonjson.Value
	for _, content := range receipt.Contents(n.said) {
		if f.Match("m.receipt", "", content) {
			events = append(events, typed("m.receipt", content))
		}
	}
	typing := a.Board.Typing(n.num.Scope())
	if len(a.ignored) > 0 {
		typing = slices.DeleteFunc(typing, func(user id.UserID) bool { return a.ignored[user] })
	}
	if begins := a.since == (Token{}); n.typing || n.fresh && (len(typing) > 0 || begins && a.knowing != 0) {
		content := canonjson.Value(`{"user_ids":[`)
		for i, user := range typing {
			if i > 0 {
				content = append(content, ',')
			}
			content = canonjson.AppendString(content, string(user))
		}
		if content = append(content, `]}`...); f.Match("m.typing", "", content) {
			events = append(events, typed("m.typing", content))
		}
	}
	return events
}
