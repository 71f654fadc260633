package loadgen

import (
	"context"
	"fmt"
)

// membership is a user in a room.
type membership struct {
	user account
	room string
}

// createRooms makes rooms that everybody may join.
func (g *Generator) createRooms(ctx context.Context, creator account, n int) ([]string, error) {
	g.o.Progress("creating %s", count(n, "room"))
	rooms := make([]string, n)
	err := g.each(ctx, n, func(ctx context.Context, c *client, i int) error {
		var created struct {
			RoomID string `json:"room_id"`
		}
		err := call{
			method: "POST", path: "/_matrix/client/v3/createRoom", token: creator.Token,
			body:   map[string]any{"preset": "public_chat", "name": fmt.Sprintf("bench %s %d", g.run, i)},
			result: &created,
		}.do(ctx, c)
		rooms[i] = created.RoomID
		g.note(membership{creator, created.RoomID}, err)
		return err
	})
	return rooms, err
}

// join makes users members of rooms.
func (g *Generator) join(ctx context.Context, all []membership) error {
	if len(all) > 0 {
		g.o.Progress("joining rooms, %d times", len(all))
	}
	return g.each(ctx, len(all), func(ctx context.Context, c *client, i int) error {
		m := all[i]
		err := call{
			method: "POST", path: path("/_matrix/client/v3/rooms/%s/join", m.room), token: m.user.Token,
			body: map[string]any{},
		}.do(ctx, c)
		g.note(m, err)
		return err
	})
}

// note remembers a membership that came about.
func (g *Generator) note(m membership, err error) {
	if err == nil {
		g.mu.Lock()
		g.joined = append(g.joined, m)
		g.mu.Unlock()
	}
}

// Close leaves all rooms if the accounts are kept for another run, lest they
// collect rooms.
func (g *Generator) Close(ctx context.Context) error {
	left := g.joined
	g.joined = nil
	if g.o.AccountsFile == "" || len(left) == 0 {
		return nil
	}
	g.o.Progress("leaving rooms, %d times", len(left))
	return g.each(ctx, len(left), func(ctx context.Context, c *client, i int) error {
		m := left[i]
		return call{
			method: "POST", path: path("/_matrix/client/v3/rooms/%s/leave", m.room), token: m.user.Token,
			body: map[string]any{},
		}.do(ctx, c)
	})
}

// spread makes user number i a member of k rooms, beginning with number i*k and
// going round, so that rooms have equally many members, give or take one. K is
// at most the number of rooms.
func spread(users []account, rooms []string, k int) []membership {
	var all []membership
	for i, u := range users {
		for j := range k {
			all = append(all, membership{u, rooms[(i*k+j)%len(rooms)]})
		}
	}
	return all
}
