package account

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/internal/store"
	"parley/matrix/id"
)

// maxSightings bounds how many devices are remembered between two flushes.
// Of those that come afterwards, until the next flush, it is not noted.
const maxSightings = 1 << 16

// flushChunk is how many sightings are written in one transaction.
const flushChunk = 500

type deviceKey struct {
	user   id.UserID
	device id.DeviceID
}

// maxAgent is how many bytes of the name that a client gives itself are kept.
const maxAgent = 256

// A sighting is when, from where and with which client a device was seen.
type sighting struct {
	at    time.Time
	addr  netip.Addr
	agent string
}

// sightings are those that were not written yet.
type sightings struct {
	mu   sync.Mutex
	last map[deviceKey]sighting // guarded by mu
}

func newSightings() *sightings { return &sightings{last: make(map[deviceKey]sighting)} }

// Seen notes that a request of a session came from an address, which may be
// invalid if there is none, and how the client calls itself. It costs no query.
func (a *Accounts) Seen(session Session, addr netip.Addr, agent string) {
	a.sightings.note(deviceKey{session.UserID, session.DeviceID}, sighting{time.Now(), addr, agent})
}

func (s *sightings) note(key deviceKey, seen sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.last[key]; known || len(s.last) < maxSightings {
		s.last[key] = seen
	}
}

func (s *sightings) get(key deviceKey) (sighting, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, ok := s.last[key]
	return seen, ok
}

// take empties it.
func (s *sightings) take() map[deviceKey]sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.last
	s.last = make(map[deviceKey]sighting)
	return taken
}

// giveBack puts in again what could not be written, where nothing is newer.
func (s *sightings) giveBack(taken map[deviceKey]sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, seen := range taken {
		if _, newer := s.last[key]; !newer && len(s.last) < maxSightings {
			s.last[key] = seen
		}
	}
}

// flushSightings writes where devices were seen. All nodes go through them in
// one order, so that none waits for another that waits for it.
func (a *Accounts) flushSightings(ctx context.Context) error {
	taken := a.sightings.take()
	keys := slices.SortedFunc(maps.Keys(taken), func(x, y deviceKey) int {
		return cmp.Or(cmp.Compare(x.user, y.user), cmp.Compare(x.device, y.device))
	})
	for chunk := range slices.Chunk(keys, flushChunk) {
		err := a.db.Update(ctx, func(tx *store.Tx) error {
			for _, key := range chunk {
				if err := writeSighting(tx, key, taken[key]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			a.sightings.giveBack(taken)
			return fmt.Errorf("storing where devices were seen: %w", err)
		}
	}
	return nil
}

func writeSighting(tx *store.Tx, key deviceKey, seen sighting) error {
	return tx.Queue("UPDATE devices SET seen = $3, seen_ip = $4, seen_agent = $5 WHERE user_id = $1 AND device_id = $2 AND seen <= $3",
		key.user, key.device, seen.at.UnixMilli(), addrText(seen.addr), agentText(seen.agent))
}

// agentText is what can be stored of the name of a client.
func agentText(agent string) string {
	agent = agent[:min(len(agent), maxAgent)]
	return strings.ReplaceAll(strings.ToValidUTF8(agent, ""), "\x00", "")
}

// addrText is empty where there is no address.
func addrText(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}
