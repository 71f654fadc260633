package difftest

import (
	"math/rand/v2"
	"strconv"

	"parley/matrix/canonjson"
)

// chance is true in percent of 100 cases.
func chance(rng *rand.Rand, percent int) bool { return rng.IntN(100) < percent }

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

// object is a JSON object under construction, its values JSON texts. It may
// come to hold what no decent object would.
type object []member

type member struct{ name, value string }

func (o *object) set(name, value string) {
	for i := range *o {
		if (*o)[i].name == name {
			(*o)[i].value = value
			return
		}
	}
	*o = append(*o, member{name, value})
}

func (o *object) remove(name string) {
	for i := range *o {
		if (*o)[i].name == name {
			*o = append((*o)[:i:i], (*o)[i+1:]...)
			return
		}
	}
}

func (o object) get(name string) string {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return ""
}

func (o object) String() string {
	text := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(canonjson.AppendString(text, m.name), ':')
		text = append(text, m.value...)
	}
	return string(append(text, '}'))
}

func quote(s string) string { return string(canonjson.AppendString(nil, s)) }

// texts have in them what encoders and decoders treat with care.
var texts = []string{
	"", "hello", "m.text", "ünïcode", "日本語", "😀 smile", "tab\tnewline\n", "quote\" and \\ backslash", "<b>&amp;</b>",
	"\u2028\u2029", "\x01\x1f\x7f", "/slash", "\ufffd", "\uffff", "e\u0301", "\b\f\r", "a.b.*", "nul\x00inside",
}

// keys are names of members for content. None needs an escape: those are put
// in apart, as they are more than gomatrixserverlib can handle.
var keys = []string{"body", "msgtype", "a", "b", "B", "z", "é", "日", "😀", "a.b", "*", "m.relates_to", "<&>", "\ue000", "\U00010000"}

// value returns the text of a random JSON value with integers that every room
// version accepts.
func value(rng *rand.Rand, depth int) string {
	kind := rng.IntN(8)
	if depth == 0 {
		kind = rng.IntN(6)
	}
	switch kind {
	case 0:
		return pick(rng, "true", "false", "null")
	case 1, 2:
		return strconv.FormatInt(pick(rng, 0, 1, -1, 50, 1234567890, 1<<53-1, -(1<<53-1), rng.Int64N(1<<40)), 10)
	case 6:
		out := "["
		for i := range rng.IntN(4) {
			if i > 0 {
				out += ","
			}
			out += value(rng, depth-1)
		}
		return out + "]"
	case 7:
		var o object
		for range rng.IntN(4) {
			o.set(pick(rng, keys...), value(rng, depth-1))
		}
		return o.String()
	default:
		return quote(pick(rng, texts...))
	}
}
