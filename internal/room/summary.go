package room

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parley/internal/journal"
	"parley/internal/statetrie"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/glob"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
	"parley/matrix/stateres"
)

// A Summary is what somebody who looks for a room is told of it. What is not set
// is empty.
type Summary struct {
	RoomID         id.RoomID       `json:"-"`
	Version        roomver.Version `json:"-"`
	Joined         int64           `json:"-"` // members
	Name           string          `json:"name,omitempty"`
	Topic          string          `json:"topic,omitempty"`
	CanonicalAlias string          `json:"alias,omitempty"`
	AvatarURL      string          `json:"avatar,omitempty"`
	JoinRule       string          `json:"rule"` // as it is, or invite
	// Allowed are the rooms whose members may join, if the rule is one of those
	// that ask for it and the room's version knows it.
	Allowed       []id.RoomID `json:"allowed,omitempty"`
	RoomType      string      `json:"type,omitempty"`
	Encryption    string      `json:"encryption,omitempty"` // the algorithm
	WorldReadable bool        `json:"readable,omitempty"`
	GuestCanJoin  bool        `json:"guests,omitempty"`
}

// summaryTypes are the types of the state that a summary is made of, all with the
// empty state key.
var summaryTypes = [...]string{
	event.TypeCreate, "m.room.name", "m.room.topic", "m.room.canonical_alias", "m.room.avatar", "m.room.encryption",
	"m.room.guest_access", event.TypeHistoryVisibility, event.TypeJoinRules,
}

func isSummarised(t event.Tuple) bool {
	return t.StateKey == "" && slices.Contains(summaryTypes[:], t.Type)
}

// summaryOf makes the summary of a state, of which get returns the event of a
// type as it may be shown, nil if there is none.
func summaryOf(get func(eventType string) *event.Event) Summary {
	of := func(eventType, key string) string {
		e := get(eventType)
		if e == nil {
			return ""
		}
		text, _ := e.Content().Get(key).Text()
		return text
	}
	s := Summary{
		Name: of("m.room.name", "name"), CanonicalAlias: of("m.room.canonical_alias", "alias"), AvatarURL: of("m.room.avatar", "url"),
		JoinRule: of(event.TypeJoinRules, "join_rule"), RoomType: of(event.TypeCreate, "type"),
		Encryption:    of("m.room.encryption", "algorithm"),
		WorldReadable: VisibilityOf(get(event.TypeHistoryVisibility)) == WorldReadable,
		GuestCanJoin:  of("m.room.guest_access", "guest_access") == "can_join",
	}
	if s.JoinRule == "" {
		s.JoinRule = "invite"
	}
	if e := get("m.room.topic"); e != nil {
		s.Topic = topicOf(e.Content())
	}
	if e := get(event.TypeJoinRules); e != nil && isRestricted(s.JoinRule, e.Rules()) {
		s.Allowed = slices.Collect(allowedBy(e))
	}
	return s
}

// topicOf returns the topic as plain text: that of m.topic if it has one.
// https://spec.matrix.org/v1.19/client-server-api/#mroomtopic
func topicOf(content canonjson.Value) string {
	for part := range content.Get("m.topic").Get("m.text").Elements() {
		if kind := part.Get("mimetype"); kind == nil || kind.Is("text/plain") {
			if text, ok := part.Get("body").Text(); ok {
				return text
			}
		}
	}
	text, _ := content.Get("topic").Text()
	return text
}

// summarise returns the summary of a state of the room, with what is redacted by
// now. The caller holds mu.
func (r *live) summarise(ctx context.Context, root statetrie.Root) (*Summary, error) {
	nums := make(map[string]stateres.Num)
	for _, eventType := range summaryTypes {
		n, err := statetrie.Get(ctx, r.nodes, root, statetrie.Key{Type: eventType})
		if err != nil {
			return nil, fmt.Errorf("reading the state of %s: %w", r.id, err)
		}
		if n != 0 {
			nums[eventType] = stateres.Num(n)
		}
	}
	redacted, err := r.redactedOf(ctx, nums)
	if err != nil {
		return nil, err
	}
	events := make(map[string]*event.Event, len(nums))
	for eventType, n := range nums {
		e, err := r.event(ctx, n)
		if err != nil {
			return nil, err
		}
		if redacted[n] {
			e = e.Redacted()
		}
		events[eventType] = e
	}
	s := summaryOf(func(eventType string) *event.Event { return events[eventType] })
	return &s, nil
}

// redactedOf returns which of some events of the room are redacted. The caller
// holds mu.
func (r *live) redactedOf(ctx context.Context, nums map[string]stateres.Num) (map[stateres.Num]bool, error) {
	redacted := make(map[stateres.Num]bool)
	for n, m := range r.pending {
		redacted[m.redacts] = true
		redacted[n] = redacted[n] || m.because.event != nil
	}
	var committed []stateres.Num
	for _, n := range nums {
		if _, pending := r.pending[n]; !pending {
			committed = append(committed, n)
		}
	}
	if len(committed) == 0 {
		return redacted, nil
	}
	err := r.engine.db.View(ctx, func(tx *store.Tx) error {
		in, list := tx.In(1, committed)
		for row, err := range tx.Query("SELECT event FROM events WHERE redacted_by IS NOT NULL AND event "+in, list) {
			if err != nil {
				return err
			}
			var n stateres.Num
			if err := row.Scan(&n); err != nil {
				return err
			}
			redacted[n] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("asking what of the state of %s is redacted: %w", r.id, err)
	}
	return redacted, nil
}

// summaryKey names the summary of a room in a batch.
type summaryKey struct{ room Num }

// writeSummary adds to the batch what the event changes of the room's summary.
func (m entry) writeSummary(b *journal.Batch, r *live) {
	if m.summary == nil {
		return
	}
	b.Write(summaryKey{r.num}, func(tx *store.Tx) error { return putSummary(tx, r.num, *m.summary) })
}

func putSummary(tx *store.Tx, room Num, s Summary) error {
	row, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding the summary of room %d: %w", room, err)
	}
	err = tx.Queue(`
		INSERT INTO summaries (room, summary, room_type, words, open) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (room) DO UPDATE SET summary = excluded.summary, room_type = excluded.room_type, words = excluded.words, open = excluded.open`,
		room, row, storable(s.RoomType), words(s.Name+"\n"+s.CanonicalAlias+"\n"+s.Topic), s.JoinRule == "public" || s.WorldReadable)
	if err != nil {
		return fmt.Errorf("storing the summary of room %d: %w", room, err)
	}
	return nil
}

// words returns a text as searches compare it, whatever its case.
func words(text string) string { return storable(string(glob.Fold(nil, []byte(text)))) }

// storable returns a text without NUL, which not every database can store.
func storable(text string) string { return strings.ReplaceAll(text, "\x00", "\uFFFD") }

// Summary returns the summary of a room.
func (g *Engine) Summary(ctx context.Context, roomID id.RoomID) (s Summary, err error) {
	err = g.db.View(ctx, func(tx *store.Tx) error {
		list, err := readSummaries(tx, "r.room_id = $1", roomID)
		if err == nil && len(list) == 0 {
			return store.ErrNoRows
		}
		for _, only := range list {
			s = only
		}
		return err
	})
	if errors.Is(err, store.ErrNoRows) {
		return s, mxerr.New(mxerr.NotFound, "There is no room %s", roomID)
	}
	if err != nil {
		return s, fmt.Errorf("reading the summary of %s: %w", roomID, err)
	}
	return s, nil
}

// readSummaries returns the summaries of the rooms r for which a condition holds.
func readSummaries(tx *store.Tx, where string, args ...any) (map[Num]Summary, error) {
	found := make(map[Num]Summary)
	for row, err := range tx.Query(`
		SELECT r.room_id, r.version, r.joined, s.summary, r.room
		FROM rooms r JOIN summaries s ON s.room = r.room WHERE `+where, args...) {
		if err != nil {
			return nil, err
		}
		s, num, err := scanSummary(row)
		if err != nil {
			return nil, err
		}
		found[num] = s
	}
	return found, nil
}

// scanSummary reads a row of readSummaries.
func scanSummary(row store.Cursor) (s Summary, num Num, err error) {
	var head Summary
	var content []byte
	if err := row.Scan(&head.RoomID, &head.Version, &head.Joined, &content, &num); err != nil {
		return s, 0, err
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return s, 0, fmt.Errorf("reading the summary of %s: %w", head.RoomID, err)
	}
	s.RoomID, s.Version, s.Joined = head.RoomID, head.Version, head.Joined
	return s, num, nil
}
