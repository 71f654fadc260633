package e2ee

import (
	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
)

// A plan is what there is to give for some wishes.
type plan struct {
	places    map[Wish][]int64 // of one-time keys, first those to be given first
	fallbacks map[Wish]*fallback
}

type fallback struct {
	oneTimeKey
	device int64
	used   bool
}

// next returns the place of the one-time key to be given next, 0 if there is none,
// and then perhaps a fallback key.
func (p *plan) next(w Wish) (int64, *fallback) {
	if left := p.places[w]; len(left) > 0 {
		p.places[w] = left[1:]
		return left[0], nil
	}
	return 0, p.fallbacks[w]
}

// readPlan finds out what there is to give. It takes a query for each algorithm,
// one more for each device of which several keys are wanted, and one for the
// fallback keys of those that run out.
func readPlan(b *journal.Batch, wishes []*wish) (*plan, error) {
	p := &plan{places: make(map[Wish][]int64), fallbacks: make(map[Wish]*fallback)}
	wanted := make(map[Wish]int)
	users := make(map[string][]id.UserID) // by algorithm
	seen := make(map[Wish]bool)
	for _, w := range wishes {
		wanted[w.Wish]++
		if of := (Wish{User: w.User, Algorithm: w.Algorithm}); !seen[of] {
			seen[of] = true
			users[w.Algorithm] = append(users[w.Algorithm], w.User)
		}
	}
	return p, b.Read(func(tx *store.Tx) error {
		short := make(map[int64]Wish) // devices that have not enough, by number
		for algorithm, users := range users {
			if algorithm != signedCurve25519 && algorithm != plainCurve25519 {
				continue
			}
			devices, err := p.first(tx, algorithm, users, wanted)
			if err != nil {
				return err
			}
			for w, device := range devices {
				if n := wanted[w]; n > 1 && len(p.places[w]) > 0 {
					if p.places[w], err = nextPlaces(tx, device, algorithm, n); err != nil {
						return err
					}
				}
				if len(p.places[w]) < wanted[w] {
					short[device] = w
				}
			}
		}
		return p.readFallbacks(tx, short, wanted)
	})
}

// first finds the first key of each device that is wanted, and returns the numbers
// of these devices.
func (p *plan) first(tx *store.Tx, algorithm string, users []id.UserID, wanted map[Wish]int) (map[Wish]int64, error) {
	devices := make(map[Wish]int64)
	in, list := tx.In(1, users)
	rows := tx.Query(`
		SELECT d.user_id, d.device_id, d.device,
			coalesce((SELECT min(k.place) FROM one_time_keys k WHERE k.device = d.device AND k.algorithm = $2), 0)
		FROM keyed_devices d WHERE d.user_id `+in, list, algorithm)
	for row, err := range rows {
		w := Wish{Algorithm: algorithm}
		var device, place int64
		if err == nil {
			err = row.Scan(&w.User, &w.Device, &device, &place)
		}
		if err != nil {
			return nil, err
		}
		if wanted[w] == 0 {
			continue
		}
		devices[w] = device
		if place != 0 {
			p.places[w] = []int64{place}
		}
	}
	return devices, nil
}

func nextPlaces(tx *store.Tx, device int64, algorithm string, n int) ([]int64, error) {
	return store.List[int64](tx, "SELECT place FROM one_time_keys WHERE device = $1 AND algorithm = $2 ORDER BY place LIMIT $3", device, algorithm, n)
}

// readFallbacks reads the fallback keys of devices.
func (p *plan) readFallbacks(tx *store.Tx, short map[int64]Wish, wanted map[Wish]int) error {
	if len(short) == 0 {
		return nil
	}
	devices := make([]int64, 0, len(short))
	for device := range short {
		devices = append(devices, device)
	}
	in, list := tx.In(1, devices)
	for row, err := range tx.Query("SELECT device, algorithm, key_id, key, used FROM fallback_keys WHERE device "+in, list) {
		f := new(fallback)
		if err == nil {
			err = row.Scan(&f.device, &f.algorithm, &f.id, &f.key, &f.used)
		}
		if err != nil {
			return err
		}
		w := short[f.device]
		if w.Algorithm = f.algorithm; wanted[w] > 0 {
			p.fallbacks[w] = f
		}
	}
	return nil
}
