package receipt

import (
	"cmp"
	"slices"
	"strconv"

	"parley/matrix/canonjson"
)

// Contents returns the contents of the m.receipt events that tell of receipts of
// one room, none for none. One event is enough except where a user has several
// receipts of one type at one event, for different threads: its content has room
// for one of them. Then the first has the one without a thread, if there is, and
// is what to tell where there can be only one event. It sorts its argument, so
// the same receipts always give the same bytes.
//
// https://spec.matrix.org/v1.19/client-server-api/#mreceipt
func Contents(receipts []Receipt) []canonjson.Value {
	slices.SortFunc(receipts, func(a, b Receipt) int {
		return cmp.Or(cmp.Compare(a.EventID, b.EventID), cmp.Compare(a.Type, b.Type),
			cmp.Compare(a.User, b.User), cmp.Compare(a.Thread, b.Thread))
	})
	var events [][]Receipt
	nth := 0 // of those at the same place
	for i, r := range receipts {
		if nth++; i == 0 || !samePlace(receipts[i-1], r) {
			nth = 0
		}
		if nth == len(events) {
			events = append(events, nil)
		}
		events[nth] = append(events[nth], r)
	}
	var contents []canonjson.Value
	for _, told := range events {
		contents = append(contents, appendContent(nil, told))
	}
	return contents
}

// samePlace reports whether two receipts would stand at one place of a content.
func samePlace(a, b Receipt) bool {
	return a.EventID == b.EventID && a.Type == b.Type && a.User == b.User
}

// appendContent appends the content of an event. The receipts are in order and
// have different places; there is at least one. Strings of identifiers sort by
// their bytes as canonical JSON sorts them, by code points.
func appendContent(dst []byte, receipts []Receipt) []byte {
	dst = append(dst, '{')
	for i, r := range receipts {
		newEvent := i == 0 || r.EventID != receipts[i-1].EventID
		newType := newEvent || r.Type != receipts[i-1].Type
		switch {
		case i == 0:
		case newEvent:
			dst = append(dst, "}},"...)
		case newType:
			dst = append(dst, "},"...)
		default:
			dst = append(dst, ',')
		}
		if newEvent {
			dst = append(canonjson.AppendString(dst, string(r.EventID)), ":{"...)
		}
		if newType {
			dst = append(canonjson.AppendString(dst, r.Type), ":{"...)
		}
		dst = append(canonjson.AppendString(dst, string(r.User)), ":{"...)
		if r.Thread != "" {
			dst = append(dst, `"thread_id":`...)
			dst = append(canonjson.AppendString(dst, r.Thread), ',')
		}
		dst = append(dst, `"ts":`...)
		dst = append(strconv.AppendInt(dst, r.TS, 10), '}')
	}
	return append(dst, "}}}"...)
}
