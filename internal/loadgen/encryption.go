package loadgen

import (
	"context"
	"errors"
	"slices"
)

// Encryption is how the server's part of end-to-end encryption is measured. As for
// [Push] the generator starts the server.
type Encryption struct {
	Own
	// Parts is which of the parts there are to do; nil is all.
	Parts []string

	Clients   []int // that claim keys of each other
	Keys      int   // one-time keys of each of them, and how many each claims
	Sharers   []int // who share a room with somebody whose device changes
	Changes   int   // of that device
	Listeners int   // of the sharers, who wait for them
	Waiting   []int // messages that wait for one device
	Devices   []int // to which one message goes
}

// encryptionParts are the parts, in the order in which they are done.
func encryptionParts() []part[*encrypted] {
	return []part[*encrypted]{{"claim", (*encrypted).claims}, {"change", (*encrypted).changes}, {"message", (*encrypted).messages}}
}

func (o Encryption) check() error {
	all := []error{
		o.Own.check(),
		checkParts(o.Parts, encryptionParts()),
		within("the number of keys", o.Keys, 1, 500),
		within("the number of changes", o.Changes, 1, 10_000),
		within("the number of listeners", o.Listeners, 1, 5000),
	}
	for _, n := range slices.Concat(o.Clients, o.Devices) {
		all = append(all, within("the number of clients", n, 2, 5000))
	}
	for _, n := range o.Sharers {
		all = append(all, within("the number of sharers", n, 1, 200_000))
	}
	for _, n := range o.Waiting {
		all = append(all, within("the number of messages", n, 1, 1_000_000))
	}
	return firstError(all...)
}

// encrypted is a server whose users encrypt, and what was measured of it.
type encrypted struct {
	*measured
	o    Encryption
	rows []Row
}

// Encryption measures one-time keys, changes of devices and messages to devices.
// Together with an error it returns the rows it has.
func (g *Generator) Encryption(ctx context.Context, o Encryption) (rows []Row, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	m, err := startMeasured(ctx, o.Own, g.o.Progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.end()) }()
	e := &encrypted{measured: m, o: o}
	err = runParts(ctx, e, o.Parts, encryptionParts())
	return e.rows, err
}

// spent tells how much of the server's processor time each of those counted has taken.
func (r *Row) spent(each string) {
	if r.Server != nil && r.Count > 0 {
		r.note("%.0f µs of the server's processor time for each %s", r.Server.Cores*r.Seconds/float64(r.Count)*1e6, each)
	}
}
