package account

import (
	"slices"
	"testing"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/id"
)

func TestWhoWasSeenLately(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db, Options{})
		if users, err := h.SeenLately(ctx, time.Hour, 10); err != nil || len(users) != 0 {
			t.Errorf("of nobody: %v, %v", users, err)
		}
		at := time.Now()
		for i, user := range []id.UserID{alice, bob, "@carol:a.test"} {
			h.create(user)
			for _, device := range []id.DeviceID{"PHONE", "LAPTOP"} {
				h.login(user, device)
				h.must(db.Update(ctx, func(tx *store.Tx) error {
					_, err := tx.Exec("UPDATE devices SET seen = $3 WHERE user_id = $1 AND device_id = $2",
						user, device, at.Add(-time.Duration(i)*time.Minute).UnixMilli())
					return err
				}))
			}
		}
		for _, tt := range []struct {
			within time.Duration
			limit  int
			want   []id.UserID
		}{
			{time.Hour, 10, []id.UserID{alice, bob, "@carol:a.test"}},
			{90 * time.Second, 10, []id.UserID{alice, bob}},
			{time.Hour, 1, []id.UserID{alice}},
		} {
			if users, err := h.SeenLately(ctx, tt.within, tt.limit); err != nil || !slices.Equal(users, tt.want) {
				t.Errorf("within %v, at most %d: got %v, want %v (%v)", tt.within, tt.limit, users, tt.want, err)
			}
		}
	})
}
