// Command mautrix-device is a device that encrypts, made of mautrix-go, for
// scenes in other languages:
//
//	mautrix-device URL USERNAME PASSWORD
//
// It logs in, syncs, and prints {"user_id", "device_id"}. Then it takes a
// request per line from its standard input, {"do": NAME, …}, and answers each,
// in order, with a line: {"error"} or what a method of device returns. It ends
// with its input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	_ "maunium.net/go/mautrix/crypto/goolm"
	"maunium.net/go/mautrix/id"
)

// patience is how long a condition may take to become true.
const patience = 30 * time.Second

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mautrix-device:", err)
		os.Exit(1)
	}
}

// A request is one line of the input. Which fields there are depends on Do.
type request struct {
	Do      string
	Room    id.RoomID
	Event   id.EventID
	User    id.UserID
	Devices []id.DeviceID // sorted
	Body    string
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: mautrix-device URL USERNAME PASSWORD")
	}
	d, err := logIn(ctx, args[0], args[1], args[2])
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]any{"user_id": d.client.UserID, "device_id": d.client.DeviceID}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		answer, err := d.does(ctx, r)
		if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (d *device) does(ctx context.Context, r request) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch r.Do {
	case "join":
		return d.joins(ctx, r.Room)
	case "say":
		return d.says(ctx, r.Room, r.Body)
	case "read":
		return d.reads(ctx, r.Event)
	case "discard":
		return map[string]any{}, d.machine.CryptoStore.RemoveOutboundGroupSession(ctx, r.Room)
	case "see devices":
		return d.seesDevices(ctx, r.User, r.Devices)
	case "secure":
		return d.secures(ctx, r.Body)
	case "back up":
		return d.backsUp(ctx, r.Body)
	case "recover":
		return d.recovers(ctx, r.Body)
	case "emoji":
		return d.showsEmoji(ctx)
	case "confirm":
		return d.confirms(ctx)
	case "verify":
		return d.verifies(ctx)
	}
	return nil, fmt.Errorf("no request is called %q", r.Do)
}
