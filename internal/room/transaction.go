package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/internal/journal"
	"parley/internal/store"
	"parley/matrix/id"
)

// A Transaction names one request of a device, so that it takes effect once
// however often it is repeated:
// https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers
// Users without a device, as those of application services may be, are as one
// with an empty name. The zero Transaction names none.
type Transaction struct {
	Device id.DeviceID
	ID     string
}

// delayDevice stands for a device in the transactions of delayed events. A user who
// calls a device so fools nobody else.
const delayDevice id.DeviceID = "(delay)"

// Delayed returns the transaction of an event that was delayed.
func Delayed(delayID string) Transaction { return Transaction{delayDevice, delayID} }

// Delay returns the ID of the delay of an event that was delayed, empty for others.
func (t Transaction) Delay() string {
	if t.Device == delayDevice {
		return t.ID
	}
	return ""
}

// transactionAge is how long transactions are remembered. A client gives up
// repeating long before.
const transactionAge = 24 * time.Hour

var insertTransactions = &store.Insert{Table: "transactions", Columns: []store.Column{
	{Name: "user_id", Type: store.Text}, {Name: "device_id", Type: store.Text}, {Name: "txn_id", Type: store.Text},
	{Name: "room", Type: store.Int}, {Name: "event_id", Type: store.Text}, {Name: "sent", Type: store.Int},
}}

const selectTransaction = `
	SELECT event_id FROM transactions
	WHERE user_id = $1 AND device_id = $2 AND txn_id = $3 AND room = $4`

// errRepeated: the request was made before and has become this event.
type errRepeated struct{ eventID id.EventID }

func (e errRepeated) Error() string { return "the request has become event " + string(e.eventID) }

// transactionKey is the key of a transaction in the memo of a group.
type transactionKey struct {
	user id.UserID
	txn  Transaction
	room Num
}

// once makes a group's change one that is refused with errRepeated when the
// transaction was committed before, or earlier in the group.
//
// Nearly every transaction is new. So in a group nobody asks: one that is not
// breaks the group, by the key of the table, and is found when its changes are
// tried one by one.
func (g *Engine) once(change journal.Change, key transactionKey, eventID id.EventID, now time.Time) journal.Change {
	if key.txn == (Transaction{}) {
		return change
	}
	return func(b *journal.Batch) error {
		if earlier, ok := b.Memo(key); ok {
			return errRepeated{earlier.(id.EventID)}
		}
		if b.Alone() {
			if err := expectNew(b, key); err != nil {
				return err
			}
		}
		if err := change(b); err != nil {
			return err
		}
		b.Remember(key, eventID)
		b.Durable(func() { g.sent.Put(key, eventID) })
		b.Insert(insertTransactions, key.user, string(key.txn.Device), key.txn.ID, key.room, eventID, now.UnixMilli())
		return nil
	}
}

func expectNew(b *journal.Batch, key transactionKey) error {
	var earlier id.EventID
	// An empty device is stored as that: as an ID it would be NULL.
	err := b.Row(selectTransaction, key.user, string(key.txn.Device), key.txn.ID, key.room).Scan(&earlier)
	switch {
	case err == nil:
		return errRepeated{earlier}
	case errors.Is(err, store.ErrNoRows):
		return nil
	}
	return fmt.Errorf("looking for transaction %s of %s: %w", key.txn.ID, key.user, err)
}

// repeated returns the event that a transaction has become lately, empty when it
// is not known to have become one. It saves building what would be refused; once
// is what decides.
func (g *Engine) repeated(key transactionKey) id.EventID {
	eventID, _ := g.sent.Get(key)
	return eventID
}

// ForgetTransactions removes transactions that nobody will repeat any more.
func (g *Engine) ForgetTransactions(ctx context.Context) error {
	err := g.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM transactions WHERE sent < $1", time.Now().Add(-transactionAge).UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("forgetting old transactions: %w", err)
	}
	g.sent.Clear() // so that memory knows no more than the database
	return nil
}
