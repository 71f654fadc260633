package account

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/mxerr"
)

// The MACs were made with
//
//	printf '%s\0%s\0%s\0%s' nonce user password admin | openssl sha1 -hmac secret
func TestSharedSecret(t *testing.T) {
	plain := SharedSecret{Nonce: "thisisanonce", Username: "pepper_roni", Password: "pizza"}
	admin, bot, damaged := plain, plain, plain
	admin.Admin = true
	bot.UserType = "bot"
	damaged.Username, damaged.Password = "pepper_roni\x00pizza", ""
	for _, row := range []struct {
		name        string
		request     SharedSecret
		secret, mac string
		want        bool
	}{
		{"a user", plain, "shared_secret", macUser, true},
		{"an administrator", admin, "shared_secret", macAdmin, true},
		{"a user of a type", bot, "shared_secret", macBot, true},
		{"an administrator by the MAC of a user", admin, "shared_secret", macUser, false},
		{"a type that is not in the MAC", bot, "shared_secret", macUser, false},
		{"another secret", plain, "secret", macUser, false},
		{"parts that are separated elsewhere", damaged, "shared_secret", macUser, false},
		{"no MAC", plain, "shared_secret", "", false},
		{"a MAC that is not hexadecimal", plain, "shared_secret", "xyz", false},
		{"no secret", plain, "", macNoSecret, false},
	} {
		if got := row.request.Check(row.secret, row.mac); got != row.want {
			t.Errorf("%s: got %t, want %t", row.name, got, row.want)
		}
	}
}

func TestANonceIsUsedOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		nonce, err := h.NewNonce(ctx)
		h.must(err)
		var used atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if open(t, db, Options{}).UseNonce(ctx, nonce) == nil {
					used.Add(1)
				}
			})
		}
		wg.Wait()
		if used.Load() != 1 {
			t.Errorf("it was used %d times", used.Load())
		}
		for _, other := range []string{"", "x", "\x00", nonce} {
			h.refused(h.UseNonce(ctx, other), mxerr.Forbidden)
		}
	})
}

func TestANonceExpires(t *testing.T) {
	location := t.TempDir() + "/parley.db"
	synctest.Test(t, func(t *testing.T) {
		h := open(t, storetest.Open(t, location), Options{})
		young, err := h.NewNonce(ctx)
		h.must(err)
		old, err := h.NewNonce(ctx)
		h.must(err)
		time.Sleep(nonceLength - time.Second)
		h.must(h.UseNonce(ctx, young))
		time.Sleep(time.Second)
		h.refused(h.UseNonce(ctx, old), mxerr.Forbidden)
		h.db.Close()
	})
}

const (
	macUser     = "cf2391885316861a8e3871bfdcd223ab3913221d"
	macAdmin    = "48715842ad67d5dc9a9ee938a3bda4fcfae8d7c7"
	macBot      = "b269635cb53e1adc15073ae7ffbd000b836b3105"
	macNoSecret = "d202740e7dae423dcd00b15ed5509dfc3ffe2b09"
)
