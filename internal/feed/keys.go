package feed

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"parley/internal/e2ee"
	"parley/internal/journal"
	"parley/matrix/canonjson"
)

// aboutKeys takes in an entry about keys.
func (a *answer) aboutKeys(e journal.Entry) {
	switch e.Kind {
	case journal.KindOneTimeKeys:
		a.keysCounted = a.keysCounted || a.q.Device != "" && e.Ref == e2ee.Ref(a.q.Device)
	case journal.KindSignature:
		a.hasSigned = true
	}
}

// tellKeys tells the device what it has left of keys. That is in every answer: a
// client may take it for nothing if it is not. News it is when it has changed.
func (a *answer) tellKeys(ctx context.Context) (err error) {
	if a.Keys == nil || a.q.stream || a.q.Device == "" {
		return nil
	}
	if a.hasSigned && a.since != (Token{}) {
		signed, err := a.Keys.Signed(ctx, a.q.User, a.since.Pos, a.now.Pos)
		if err != nil {
			return err
		}
		a.devices.addChanged(signed)
	}
	a.counts, err = a.Keys.Counts(ctx, a.q.User, a.q.Device)
	return err
}

// appendKeyCounts appends what a device has left, as members of an object that has
// more.
func appendKeyCounts(dst []byte, c *e2ee.Counts) []byte {
	dst = append(dst, `"device_one_time_keys_count":{`...)
	for i, algorithm := range slices.Sorted(maps.Keys(c.OneTime)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(canonjson.AppendString(dst, algorithm), ':')
		dst = strconv.AppendInt(dst, c.OneTime[algorithm], 10)
	}
	return append(appendTexts(append(dst, `},"device_unused_fallback_key_types":`...), c.Unused), ',')
}

// appendTexts appends an array of strings.
func appendTexts[T ~string](dst []byte, list []T) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = canonjson.AppendString(dst, string(s))
	}
	return append(dst, ']')
}
