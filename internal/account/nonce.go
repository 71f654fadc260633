package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"parley/internal/store"
	"parley/matrix/mxerr"
)

// nonceLength is how long a nonce is good, by the protocol that SharedSecret is
// about.
const nonceLength = time.Minute

// nonceOperation is the operation under which nonces are stored among the
// authentication sessions, so that every node knows them.
const nonceOperation = "nonce"

// NewNonce returns a nonce that can be used once, within a minute.
func (a *Accounts) NewNonce(ctx context.Context) (string, error) {
	s := &interaction{id: rand.Text(), operation: nonceOperation, request: []byte("{}")}
	return s.id, a.storeInteraction(ctx, s)
}

// UseNonce refuses a nonce that was not given out, or was used, or is too old,
// with [mxerr.Forbidden].
func (a *Accounts) UseNonce(ctx context.Context, nonce string) error {
	if strings.IndexByte(nonce, 0) >= 0 {
		nonce = ""
	}
	err := a.db.Update(ctx, func(tx *store.Tx) error {
		return changeOne(tx, "DELETE FROM auth_sessions WHERE session = $1 AND operation = $2 AND created > $3",
			nonce, nonceOperation, time.Now().Add(-nonceLength).UnixMilli())
	})
	if errors.Is(err, store.ErrNoRows) {
		return mxerr.New(mxerr.Forbidden, "The nonce is not known, or no longer")
	}
	if err != nil {
		return fmt.Errorf("using a nonce: %w", err)
	}
	return nil
}

// SharedSecret is a request to make an account by somebody who proves to know a
// secret of the server's, as scripts for Synapse do:
// https://element-hq.github.io/synapse/latest/admin_api/register_api.html
type SharedSecret struct {
	Nonce, Username, Password string
	Admin                     bool
	UserType                  string // empty if there is none
}

// Check reports whether the hexadecimal MAC was made with the secret. An empty
// secret is known to nobody. The parts of what is authenticated are separated by
// NUL, so none may contain it.
func (s SharedSecret) Check(secret, mac string) bool {
	for _, part := range []string{s.Nonce, s.Username, s.Password, s.UserType} {
		if strings.IndexByte(part, 0) >= 0 {
			return false
		}
	}
	got, err := hex.DecodeString(mac)
	return err == nil && secret != "" && hmac.Equal(got, s.mac(secret))
}

func (s SharedSecret) mac(secret string) []byte {
	h := hmac.New(sha1.New, []byte(secret))
	role := "notadmin"
	if s.Admin {
		role = "admin"
	}
	parts := []string{s.Nonce, s.Username, s.Password, role}
	if s.UserType != "" {
		parts = append(parts, s.UserType)
	}
	h.Write([]byte(strings.Join(parts, "\x00"))) // never fails
	return h.Sum(nil)
}
