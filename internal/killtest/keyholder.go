package killtest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"parley/matrix/canonjson"
)

// keysEach is how many one-time keys are in an upload.
const keysEach = 3

// A keyholder is somebody whose one-time keys somebody else claims. A key is given
// once, and in the order of the uploads; of those that were uploaded none is lost but
// to a claim that was not answered.
type keyholder struct {
	who, other *account
	uploads    int
	open       bool           // the last upload was not acknowledged
	given      map[string]int // how many keys were given before, by name
	last       int            // of which upload the last key was
	unanswered int            // claims
}

func (k *keyholder) step(sh *shift) error {
	if sh.random.IntN(2*keysEach) == 0 {
		return k.upload(sh)
	}
	return k.claim(sh)
}

// request uploads the last keys, or repeats that.
func (k *keyholder) request() request {
	keys := make(object)
	for i := range keysEach {
		sum := sha256.Sum256(fmt.Append(nil, k.who.userID, k.uploads, i))
		keys[fmt.Sprintf("curve25519:%d_%d", k.uploads, i)] = base64.RawStdEncoding.EncodeToString(sum[:])
	}
	return request{"POST", "/keys/upload", k.who.token, object{"one_time_keys": keys}}
}

func (k *keyholder) upload(sh *shift) error {
	if !k.open {
		k.uploads++
	}
	k.open = true
	if _, err := sh.client.must(k.request()); err != nil {
		return err
	}
	k.open = false
	sh.acknowledge()
	return nil
}

func (k *keyholder) claim(sh *shift) error {
	k.unanswered++
	answer, err := sh.client.must(request{"POST", "/keys/claim", k.other.token, object{
		"one_time_keys": object{k.who.userID: object{k.who.device: "curve25519"}},
	}})
	if err != nil {
		return err
	}
	k.unanswered--
	for name := range answer.Get("one_time_keys").Get(k.who.userID).Get(k.who.device).Members() {
		if err := k.take(name); err != nil {
			return err
		}
	}
	sh.acknowledge()
	return nil
}

// take takes in that a key was given.
func (k *keyholder) take(name canonjson.Value) error {
	text, _ := name.Text()
	if _, twice := k.given[text]; twice {
		return fmt.Errorf("key %s of %s was given twice: %v", text, k.who.name, slices.Sorted(maps.Keys(k.given)))
	}
	number, _, _ := strings.Cut(strings.TrimPrefix(text, "curve25519:"), "_")
	upload, err := strconv.Atoi(number)
	if err != nil || upload < k.last || upload > k.uploads {
		return fmt.Errorf("key %s of %s was given after one of upload %d, of %d", text, k.who.name, k.last, k.uploads)
	}
	k.given[text], k.last = len(k.given), upload
	return nil
}

// check repeats the last upload, as a client does that had no answer, or had one and
// was killed.
func (k *keyholder) check(c *client) (checked int, err error) {
	if k.uploads == 0 {
		return 0, nil
	}
	answer, err := c.must(k.request())
	if err != nil {
		return 0, err
	}
	k.open = false
	left, _ := answer.Get("one_time_key_counts").Get("curve25519").Int()
	lost := k.uploads*keysEach - len(k.given) - int(left)
	if lost < 0 || lost > k.unanswered {
		return 0, fmt.Errorf("of %d keys of %s %d were given and %d are left, and %d claims had no answer",
			k.uploads*keysEach, k.who.name, len(k.given), left, k.unanswered)
	}
	k.unanswered = lost
	return len(k.given) + 1, nil
}
