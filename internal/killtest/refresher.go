package killtest

import (
	"fmt"
	"net/http"

	"parley/matrix/canonjson"
)

// pair is an access token and what refreshes it.
type pair struct{ access, refresh string }

func pairIn(answer canonjson.Value) pair {
	return pair{text(answer, "access_token"), text(answer, "refresh_token")}
}

// A refresher is somebody who refreshes the access token time and again. The last
// pair that it has got must be good, whatever was asked for and not answered; and
// the one before is not, once the last was used.
type refresher struct {
	who  *account
	last pair
	// before is the pair that last took the place of, if last was used and that
	// was answered.
	before pair
}

// request is to refresh, or to log in if there is nothing to refresh yet.
func (f *refresher) request() request {
	if f.last.refresh != "" {
		return request{"POST", "/refresh", "", object{"refresh_token": f.last.refresh}}
	}
	return request{"POST", "/login", "", object{
		"type": "m.login.password", "password": password(f.who.name), "refresh_token": true,
		"identifier": object{"type": "m.id.user", "user": f.who.name},
	}}
}

// advance gets the next pair and uses it.
func (f *refresher) advance(c *client) error {
	answer, err := c.must(f.request())
	if err != nil {
		return err
	}
	old := f.last
	f.last, f.before = pairIn(answer), pair{}
	if _, err := c.must(request{"GET", "/account/whoami", f.last.access, nil}); err != nil {
		return err
	}
	f.before = old
	return nil
}

func (f *refresher) step(sh *shift) error {
	if err := f.advance(sh.client); err != nil {
		return err
	}
	sh.acknowledge()
	return nil
}

func (f *refresher) check(c *client) (checked int, err error) {
	if f.before.refresh != "" {
		for _, r := range []request{
			{"GET", "/account/whoami", f.before.access, nil}, {"POST", "/refresh", "", object{"refresh_token": f.before.refresh}},
		} {
			status, body, err := c.do(r)
			if err != nil {
				return checked, err
			}
			if status != http.StatusUnauthorized {
				return checked, fmt.Errorf("%s with a token that was replaced: %w", f.who.name, statusError{r, status, body})
			}
			checked++
		}
	}
	if f.last.refresh == "" {
		return checked, nil // it has not even logged in, as far as it knows
	}
	// What was got last may have been used without an answer: it is good anyway.
	if _, err := c.must(request{"GET", "/account/whoami", f.last.access, nil}); err != nil {
		return checked, fmt.Errorf("the last token of %s: %w", f.who.name, err)
	}
	if err := f.advance(c); err != nil {
		return checked, fmt.Errorf("refreshing for %s: %w", f.who.name, err)
	}
	return checked + 2, nil
}
