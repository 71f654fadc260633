package killtest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"

	"parley/matrix/canonjson"
)

// A register is a value on the server that only one worker changes, so that it
// is known what it may be after a kill: the last one acknowledged or, if there
// were requests without an answer since, that of one of them.
type register struct {
	name     string
	value    string
	attempts []string // were not answered
	// put is the request that sets a value, and get that which reads it, out of
	// which read takes it. What only the database has, inspect takes from there.
	put     func(value string) request
	get     func() request
	read    func(canonjson.Value) string
	inspect func(*Snapshot) string
	// next makes up another value.
	next func(*rand.Rand) string
}

// set gives the register another value.
func (r *register) set(c *client, random *rand.Rand) error {
	value := r.next(random)
	r.attempts = append(r.attempts, value)
	if _, err := c.must(r.put(value)); err != nil {
		return fmt.Errorf("setting %s to %q: %w", r.name, value, err)
	}
	r.value, r.attempts = value, nil
	return nil
}

// check reads the register after a kill.
func (r *register) check(c *client) error {
	if r.get == nil {
		return nil
	}
	status, body, err := c.do(r.get())
	if err != nil {
		return err
	}
	got := ""
	if status == http.StatusOK {
		got = r.read(body)
	} else if status != http.StatusNotFound {
		return fmt.Errorf("reading %s: %w", r.name, statusError{r.get(), status, body})
	}
	return r.found(got)
}

// found says what was read.
func (r *register) found(got string) error {
	if got != r.value && !slices.Contains(r.attempts, got) {
		return fmt.Errorf("%s is %q, was %q, and perhaps one of %q", r.name, got, r.value, r.attempts)
	}
	r.value, r.attempts = got, nil
	return nil
}

// counter returns a next that never repeats itself.
func counter() func(*rand.Rand) string {
	n := 0
	return func(*rand.Rand) string {
		n++
		return strconv.Itoa(n)
	}
}
