package push

import (
	"context"
	"fmt"
	"strings"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Codes of https://github.com/matrix-org/matrix-spec-proposals/pull/4174
const (
	ExpiredActivationToken mxerr.Code = "M_EXPIRED_ACTIVATION_TOKEN"
	UnknownActivationToken mxerr.Code = "M_UNKNOWN_ACTIVATION_TOKEN"
)

// greet sends a device of Web Push what it shows that it gets things by, as long as it
// has the time for that.
func (s *Sender) greet(ctx context.Context, t *target) (sent bool, err error) {
	if time.Now().UnixMilli() < t.expires {
		message := canonjson.Value(`{}`).With("ack_token", canonjson.Text(t.token)).With("app_id", canonjson.Text(t.AppID))
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		if err := s.webPush(ctx, t.Pusher, message, true); err != nil {
			return false, err
		}
		sent = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.greets = false
	return sent, nil
}

// Activate has what notifies a user pushed to a device of Web Push that has shown what
// it was sent. The refusals are [mxerr.NotFound], if there is none for the app,
// [UnknownActivationToken] and [ExpiredActivationToken].
func (s *Pushers) Activate(ctx context.Context, user id.UserID, appID, token string) error {
	if strings.Contains(appID, "\x00") { // which no database could look for
		return noSuchPusher()
	}
	_, err := s.journal.Append(ctx, func(b *journal.Batch) error {
		list, err := pushersOf(b.Query("SELECT "+pusherColumns+" FROM pushers WHERE user_id = $1 AND app_id = $2 AND kind = $3", user, appID, KindWeb))
		switch {
		case err != nil:
			return err
		case len(list) == 0:
			return noSuchPusher()
		}
		for _, p := range list {
			if p.token == "" || p.token != token {
				continue
			}
			if time.Now().UnixMilli() >= p.expires {
				return mxerr.New(ExpiredActivationToken, "The time for this is over: set the pusher again")
			}
			p.Active, p.token, p.expires = true, "", 0
			p.pos = b.Append(scopeOf(p.AppID, p.Key), journal.KindPusher, 0)
			b.Write(p.name(), func(tx *store.Tx) error { return p.put(tx, true) })
			return nil
		}
		return mxerr.New(UnknownActivationToken, "This was sent to none of your devices")
	})
	if err != nil {
		return fmt.Errorf("activating a pusher of %s: %w", user, err)
	}
	return nil
}

func noSuchPusher() error { return mxerr.New(mxerr.NotFound, "You have no such pusher for this app") }
