package room

import (
	"fmt"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
)

var insertGaps = &store.Insert{Table: "gaps", Columns: []store.Column{
	{Name: "room", Type: store.Int}, {Name: "place", Type: store.Int}, {Name: "missing", Type: store.Blob},
}}

// writeGap adds to the batch that the event follows what the room does not have.
func (m entry) writeGap(b *journal.Batch, r *live) {
	if m.gap == nil {
		return
	}
	missing, err := canonjson.Marshal(m.gap)
	if err != nil {
		panic(fmt.Sprintf("room: event IDs as JSON: %v", err)) // they are text
	}
	b.Insert(insertGaps, r.num, m.place, []byte(missing))
}
