package room

import (
	"cmp"
	"slices"
	"strings"

	"parley/internal/store"
	"parley/internal/textindex"
)

// What bounds the work of a search for what was mistyped.
const (
	// mostMistyped is how many rooms are looked at, the largest, and mistypedStep how many
	// of them are in memory at once.
	mostMistyped = 2000
	mistypedStep = 100
	// longestMistyped is how much of the words of a room counts, in bytes.
	longestMistyped = 1024
)

// mayBeMistyped reports whether a word of the search is long enough for that.
func (s Search) mayBeMistyped() bool { return slices.ContainsFunc(s.words(), textindex.MayBeMistyped) }

// mistyped is a page of the rooms that have all words of the search but for a letter or
// two in the longer ones.
func (s Search) mistyped(tx *store.Tx, from Listed, backwards bool, limit int) (p Page, err error) {
	list, err := s.near(tx)
	if err != nil {
		return p, err
	}
	begin, end := 0, len(list)
	if from != (Listed{}) {
		at, there := slices.BinarySearchFunc(list, from, func(s Summary, from Listed) int { return s.place().compare(from) })
		if end = at; !backwards {
			if begin, end = at, len(list); there {
				begin++
			}
		}
	}
	if backwards {
		begin = max(begin, end-limit)
	} else {
		end = min(end, begin+limit)
	}
	if begin == end {
		return Page{Total: len(list)}, nil
	}
	return Page{Rooms: list[begin:end], Earlier: begin > 0, Later: end < len(list), Total: len(list)}, nil
}

// compare returns which of two places comes first.
func (l Listed) compare(o Listed) int {
	return cmp.Or(cmp.Compare(o.Joined, l.Joined), cmp.Compare(l.RoomID, o.RoomID))
}

// near returns all such rooms, in the order of the directory.
func (s Search) near(tx *store.Tx) (list []Summary, err error) {
	wanted := s.words()
	s.Term = ""
	nums, err := s.query(tx).at(Listed{}, false).nums(tx, mostMistyped)
	if err != nil {
		return nil, err
	}
	for part := range slices.Chunk(nums, mistypedStep) {
		in, arg := tx.In(1, part)
		found, err := readSummaries(tx, "r.room "+in, arg)
		if err != nil {
			return nil, err
		}
		for _, num := range part {
			if room, ok := found[num]; ok && room.isNear(wanted) {
				list = append(list, room)
			}
		}
	}
	// Databases may compare IDs in other ways.
	slices.SortFunc(list, func(a, b Summary) int { return a.place().compare(b.place()) })
	return list, nil
}

// isNear reports whether each of some words is one of the room, a part of one, or mistyped.
func (s Summary) isNear(wanted []string) bool {
	text := words(s.Name, s.CanonicalAlias, s.Topic)
	text = text[:min(len(text), longestMistyped)]
	return !slices.ContainsFunc(wanted, func(word string) bool {
		return !strings.Contains(text, word) && !textindex.Near(strings.Trim(word, "#"), text)
	})
}
