package appservice_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"parley/internal/hstest"
)

// TestWhatIsOfNoInterestCostsNoQuery: a message in a room where no service has a user
// costs the database the same with services as without.
func TestWhatIsOfNoInterestCostsNoQuery(t *testing.T) {
	var costs []int64
	for _, services := range []int{0, 1, 5} {
		scene(t, func(s *stage) {
			var bridges []*bridge
			for i := range services {
				bridges = append(bridges, s.bridge(fmt.Sprintf("b%d", i), `namespaces: {users: [{regex: '@_b`+fmt.Sprint(i)+`_.*'}], aliases: [{regex: '#_b.*'}], rooms: [{regex: '!none'}]}`))
			}
			alice := s.server(bridges...).Register("alice")
			in := room(alice, `{"preset":"public_chat"}`)
			talk := func(u *hstest.User, what string) {
				for i := range 20 {
					say(u, in, fmt.Sprint(what, i))
				}
				synctest.Wait()
			}
			talk(alice, "at first")
			before := alice.Database().Statements()
			talk(alice, "later")
			costs = append(costs, int64(alice.Database().Statements()-before))
		})
	}
	if costs[0] != costs[1] || costs[0] != costs[2] {
		t.Errorf("20 messages cost %d statements without services, %d with one, %d with five", costs[0], costs[1], costs[2])
	}
}
