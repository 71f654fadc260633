package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"parley/internal/config"
	"parley/internal/ephemeral"
	"parley/internal/fedsend"
	"parley/internal/inbound"
	"parley/internal/journal"
	"parley/internal/remote"
	"parley/internal/room"
	"parley/internal/ssapi"
	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/roomver"
	"parley/matrix/signing"
)

// A Network is how a server reaches others. The zero value is the internet.
type Network struct {
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Resolver remote.Resolver
	Roots    *x509.CertPool
	// Web, if not nil, changes how others than homeservers are reached.
	Web func(*remote.Options)
	// Own, if not nil, connects to what the operator has, such as the mail server.
	Own func(ctx context.Context, network, addr string) (net.Conn, error)
}

// outbound is how others than homeservers are reached.
func (n Network) outbound(c config.Config) remote.Options {
	o := remote.Options{AllowPrivate: c.Outbound.AllowPrivateNetworks}
	if n.Web != nil {
		n.Web(&o)
	}
	return o
}

// internet returns the network of a configuration.
func internet(c config.Config) (Network, error) {
	out := remote.New(remote.Options{AllowPrivate: c.Federation.AllowPrivateNetworks})
	n := Network{Dial: out.Dial, Resolver: net.DefaultResolver}
	if c.Federation.ExtraCA == "" {
		return n, nil
	}
	pem, err := os.ReadFile(c.Federation.ExtraCA)
	if err != nil {
		return n, fmt.Errorf("federation.extra_ca: %w", err)
	}
	if n.Roots, err = x509.SystemCertPool(); err != nil {
		return n, fmt.Errorf("the certificates of the system: %w", err)
	}
	if !n.Roots.AppendCertsFromPEM(pem) {
		return n, fmt.Errorf("federation.extra_ca: %s has no certificates in PEM", c.Federation.ExtraCA)
	}
	return n, nil
}

// federation is what a server has to do with others.
type federation struct {
	health  *remote.Health
	keys    *remote.OwnKeys
	servers *remote.Servers
	ring    *remote.KeyRing
	inbox   *inbound.Inbox
	sender  *fedsend.Sender
}

// newFederation makes what the rooms stand on.
func newFederation(ctx context.Context, db *store.DB, name id.ServerName, key signing.Key, notaries []id.ServerName, n Network, log *slog.Logger) (f federation, err error) {
	if f.health, err = remote.OpenHealth(ctx, db, log); err != nil {
		return f, err
	}
	if f.keys, err = remote.OpenOwnKeys(ctx, db, name, key); err != nil {
		return f, err
	}
	f.servers = remote.NewServers(f.health, remote.ServersOptions{
		Server: name, Key: key, Dial: n.Dial, Resolver: n.Resolver, Roots: n.Roots, Agent: "parley",
	})
	f.ring = remote.NewKeyRing(db, f.servers, notaries, f.keys)
	return f, nil
}

// inboundRooms is where events of other servers go.
func inboundRooms(rooms *room.Engine) inbound.Rooms {
	return inbound.Rooms{
		Rules: func(ctx context.Context, roomID id.RoomID) (*roomver.Rules, error) {
			return rooms.RulesSoon(ctx, roomID)
		},
		Check: rooms.Check,
		Receive: func(ctx context.Context, events []*event.Event) (n int, ready bool, err error) {
			if n, err = rooms.ReceiveAll(ctx, events); errors.Is(err, room.ErrMissing) || errors.Is(err, room.ErrUnsigned) {
				return n, false, nil
			}
			return n, true, err
		},
		Fetch: func(ctx context.Context, server id.ServerName, e *event.Event) (inbound.Lack, error) {
			_, err := rooms.ReceiveFrom(ctx, server, e)
			switch {
			case errors.Is(err, room.ErrSilent):
				return inbound.Silent, err
			case errors.Is(err, room.ErrMissing):
				return inbound.Missing, err
			}
			return inbound.Nothing, err
		},
		Stray: func(ctx context.Context, server id.ServerName, pdu canonjson.Value) error {
			return rooms.Stray(ctx, server, pdu)
		},
		Admits: rooms.Admits,
	}
}

// tellTyping tells application services who is typing, and other servers who of this
// one is.
func (p *parts) tellTyping(scope journal.Scope, user id.UserID, typing bool) {
	p.services.Typing(scope)
	if user.Server() == p.name {
		p.federation.sender.Typing(room.Num(scope.Number()), user, typing)
	}
}

// tellPresence tells application services who is online, and other servers who of this
// one is.
func (p *parts) tellPresence(user id.UserID, rooms []journal.Scope, s ephemeral.Status) {
	p.services.Presence(user, rooms, s)
	if user.Server() == p.name {
		p.federation.sender.Presence(user, rooms, s)
	}
}

// serverAPI is the server-server API over the domains.
func (p *parts) serverAPI(c config.Config) *ssapi.Server {
	return ssapi.New(ssapi.Parts{
		Name: p.name, Version: Version(), Keys: p.federation.keys, Ring: p.federation.ring, Health: p.federation.health,
		Verifier: event.NewVerifier(0), Rooms: p.rooms, Inbox: p.federation.inbox, Receipts: p.receipts, Typing: p.typing, Presence: p.presence,
		Media: p.media, Users: p.users(), Profiles: p.profiles, Resolve: p.services.Resolve, Identity: p.identity, Devices: p.keys, ToDevice: p.toDevice, DeviceLists: p.devices,
		Settings: ssapi.Settings{
			Delegate: c.Federation.Delegate, ProfilesOfSharersOnly: c.Profiles.Lookup == config.LookupSharers,
		},
	})
}
