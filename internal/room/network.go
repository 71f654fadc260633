package room

import (
	"context"
	"fmt"

	"parley/internal/store"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// MaxNetwork is how many bytes the name of a network may have.
const MaxNetwork = 1000

// PublishIn puts a room into the directory of a network of an application service, or
// takes it out. https://spec.matrix.org/v1.19/application-service-api/#published-room-directories
func (g *Engine) PublishIn(ctx context.Context, network string, roomID id.RoomID, published bool) error {
	if len(network) > MaxNetwork {
		return mxerr.New(mxerr.InvalidParam, "A network has a name of at most %d bytes", MaxNetwork)
	}
	num, err := g.Num(ctx, roomID)
	if err != nil {
		return err
	}
	statement := "DELETE FROM network_rooms WHERE network = $1 AND room = $2"
	if published {
		statement = "INSERT INTO network_rooms (network, room) VALUES ($1, $2) ON CONFLICT (network, room) DO NOTHING"
	}
	err = g.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(statement, network, num)
		return err
	})
	if err != nil {
		return fmt.Errorf("publishing %s in %s (%v): %w", roomID, network, published, err)
	}
	return nil
}
