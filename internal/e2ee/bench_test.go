package e2ee

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/internal/store"
	"parley/internal/store/storetest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

const keysEach = 50

// crowd are the devices of so many users.
func crowd(n int) (devices []*client) {
	for i := range n {
		devices = append(devices, newClient(id.UserID(fmt.Sprintf("@user%d:a.test", i)), "PHONE"))
	}
	return devices
}

// stock gives each device keys that need no signature, which here would take longer
// to make than to give out.
func (s *scene) stock(devices []*client, round int) {
	var all sync.WaitGroup
	for _, c := range devices {
		all.Go(func() {
			keys := canonjson.Value("{}")
			for i := range keysEach {
				keys = keys.With(fmt.Sprintf("curve25519:%d_%d", round, i), canonjson.Text(curve(fmt.Sprint(c.user, round, i))))
			}
			if err := s.Upload(s.ctx, c.user, c.device, Upload{OneTime: keys}); err != nil {
				s.t.Error(err)
			}
		})
	}
	all.Wait()
}

// BenchmarkClaim has clients claim the keys of each other, one at a time each, until
// all 50 keys of each are gone.
func BenchmarkClaim(b *testing.B) {
	storetest.Bench(b, func(b *testing.B, db *store.DB) {
		s := newScene(b, db)
		for _, n := range []int{100, 1000} {
			devices := crowd(n)
			b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
				round := 0
				for b.Loop() {
					b.StopTimer()
					round++
					s.stock(devices, n+round<<20)
					b.StartTimer()
					s.claimAll(b, devices)
				}
				b.ReportMetric(float64(n*keysEach*b.N)/b.Elapsed().Seconds(), "claims/s")
			})
		}
	})
}

func (s *scene) claimAll(b *testing.B, devices []*client) {
	var all sync.WaitGroup
	for i := range devices {
		all.Go(func() {
			for k := range keysEach {
				c := devices[(i+k*7+1)%len(devices)]
				got, err := s.ClaimLocal(s.ctx, []Wish{{c.user, c.device, plainCurve25519}})
				if err != nil || len(got) != 1 {
					b.Errorf("got %v, %v", got, err)
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkClaimRoom has one client claim a key of every device of a room at once.
func BenchmarkClaimRoom(b *testing.B) {
	storetest.Bench(b, func(b *testing.B, db *store.DB) {
		s := newScene(b, db)
		for _, n := range []int{100, 1000} {
			devices := crowd(n)
			b.Run(fmt.Sprintf("devices=%d", n), func(b *testing.B) {
				left, round := 0, 0
				for b.Loop() {
					if left == 0 {
						b.StopTimer()
						round++
						s.stock(devices, n+round<<20)
						left = keysEach
						b.StartTimer()
					}
					left--
					var wishes []Wish
					for _, c := range devices {
						wishes = append(wishes, Wish{c.user, c.device, plainCurve25519})
					}
					if got, err := s.ClaimLocal(s.ctx, wishes); err != nil || len(got) != n {
						b.Fatalf("got %d keys, %v", len(got), err)
					}
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "claims/s")
			})
		}
	})
}

// BenchmarkUpload has clients upload 50 signed keys each, all at once.
func BenchmarkUpload(b *testing.B) {
	storetest.Bench(b, func(b *testing.B, db *store.DB) {
		for _, n := range []int{10, 100} {
			b.Run(fmt.Sprintf("clients=%d", n), func(b *testing.B) {
				s := newScene(b, db)
				round := 0
				for b.Loop() {
					b.StopTimer()
					round++
					var uploads []Upload
					devices := make([]*client, n)
					for i := range devices {
						devices[i] = newClient(id.UserID(fmt.Sprintf("@user%d_%d_%d:a.test", n, round, i)), "PHONE")
						uploads = append(uploads, Upload{Device: devices[i].keys(), OneTime: devices[i].oneTime(numbered(1, keysEach)...)})
					}
					b.StartTimer()
					var all sync.WaitGroup
					for i, c := range devices {
						all.Go(func() {
							if err := s.Upload(s.ctx, c.user, c.device, uploads[i]); err != nil {
								b.Error(err)
							}
						})
					}
					all.Wait()
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "uploads/s")
			})
		}
	})
}

// BenchmarkCounts is what /sync asks for of each device, from memory and not.
func BenchmarkCounts(b *testing.B) {
	storetest.Bench(b, func(b *testing.B, db *store.DB) {
		s := newScene(b, db)
		devices := crowd(100)
		s.stock(devices, 1)
		for _, remembered := range []bool{true, false} {
			b.Run(fmt.Sprintf("remembered=%t", remembered), func(b *testing.B) {
				i := 0
				for b.Loop() {
					c := devices[i%len(devices)]
					if i++; !remembered {
						s.forgetCounts(keyOf(c.user, c.device))
					}
					if _, err := s.Counts(s.ctx, c.user, c.device); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

// BenchmarkBackup has a client back up the keys of many sessions, 200 at a time as
// clients do, and a new one get all of them.
func BenchmarkBackup(b *testing.B) {
	storetest.Bench(b, func(b *testing.B, db *store.DB) {
		for _, n := range []int{1000, 10_000} {
			b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
				v := NewBackups(db)
				var put, read time.Duration
				for b.Loop() {
					version, err := v.Create(b.Context(), alice, algorithm, canonjson.Value(`{"public_key":"x"}`))
					if err != nil {
						b.Fatal(err)
					}
					begun := time.Now()
					v.fill(b, version, n)
					put += time.Since(begun)
					begun = time.Now()
					v.readAll(b, version)
					read += time.Since(begun)
					if err := v.Delete(b.Context(), alice, version); err != nil { // there is a limit for all of a user's
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(n*b.N)/put.Seconds(), "stored/s")
				b.ReportMetric(float64(n*b.N)/read.Seconds(), "read/s")
			})
		}
	})
}

func (b *Backups) fill(t *testing.B, version int64, n int) {
	data := strings.Repeat("x", 1300)
	for range n / 200 {
		var keys []SessionKey
		for i := range 200 {
			keys = append(keys, sessionKey(id.RoomID(fmt.Sprintf("!%d:a.test", i%30)), rand.Text(), data))
		}
		if _, err := b.Put(t.Context(), alice, version, keys); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *Backups) readAll(t *testing.B, version int64) {
	u, err := b.Keys(t.Context(), alice, version, "")
	for more := true; more && err == nil; {
		_, more, err = u.AppendPart(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}
