package simtest

import (
	"fmt"

	"parley/matrix/canonjson"
)

// keys has a device upload keys, or somebody claim one of another device.
func (w *world) keys() deed {
	p := pick(w.rng, w.people)
	who := w.device(p)
	const path = "/_matrix/client/v3/keys/"
	if w.chance(60) {
		other := w.device(pick(w.rng, w.people))
		return deed{
			who: who, method: "POST", path: path + "claim", done: w.counts("claims"),
			body: object{"one_time_keys": object{string(other.ID): object{string(other.Device): "signed_curve25519"}}},
		}
	}
	k := who.Keys()
	w.txns++
	body := canonjson.Value("{}").With("device_keys", k.Sign(k.Device()))
	if w.chance(70) {
		body = body.With("one_time_keys", k.OneTime(fmt.Sprint("a", w.txns), fmt.Sprint("b", w.txns)))
	}
	if w.chance(50) {
		body = body.With("fallback_keys", k.Fallback(fmt.Sprint("f", w.rng.IntN(3))))
	}
	return deed{who: who, method: "POST", path: path + "upload", body: body, done: w.counts("key uploads")}
}

// keys compares what the device heard that it has left with what it is told when it
// uploads nothing.
func (c *comparison) keys() {
	status, answer, err := c.device.Try("POST", "/_matrix/client/v3/keys/upload", object{})
	if err != nil || status != 200 {
		c.differ("what is left of keys: %d %s %v", status, answer, err)
		return
	}
	if left := string(answer.Get("one_time_key_counts")); c.client.left != left {
		c.differ("%s one-time keys are left, the device heard of %s", left, c.client.left)
	}
}
