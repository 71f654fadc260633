package server

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"time"

	"parley/internal/account"
	"parley/internal/accountdata"
	"parley/internal/alias"
	"parley/internal/config"
	"parley/internal/csapi"
	"parley/internal/ephemeral"
	"parley/internal/feed"
	"parley/internal/filter"
	"parley/internal/journal"
	"parley/internal/profile"
	"parley/internal/receipt"
	"parley/internal/room"
	"parley/internal/store"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/signing"
)

// parts are the domains of a server over what they stand on.
type parts struct {
	name id.ServerName

	journal  *journal.Journal
	accounts *account.Accounts
	rooms    *room.Engine
	receipts *receipt.Book
	typing   *ephemeral.Board
	presence *ephemeral.Presence // nil if nobody is to know of it
	data     *accountdata.Store
	filters  *filter.Store
	profiles *profile.Keeper
	aliases  *alias.Directory
	feed     *feed.Feed

	// loops are what the domains do in the background. The journal, which all
	// of them write to, runs longer than they.
	loops []loop
}

// newParts makes the domains, each after those it needs.
func newParts(ctx context.Context, db *store.DB, c config.Config, key signing.Key, log *slog.Logger) (p parts, err error) {
	name := c.ServerName
	p.name = name
	if p.journal, err = journal.Open(ctx, db, rand.Text, journal.Options{}); err != nil {
		return p, err
	}
	p.accounts = account.New(db, account.Options{Server: name, Log: log})
	p.typing = ephemeral.NewBoard(rand.Text(), p.journal.Poke)
	p.data = accountdata.New(db, p.journal)
	p.rooms = room.New(db, p.journal, room.Options{
		Server: name, Key: key,
		Gone:      func(num room.Num, user id.UserID) { p.typing.Stop(num.Scope(), user) },
		MayInvite: p.mayInvite,
	})
	p.receipts = receipt.New(db, p.journal, p.locate)
	p.profiles = profile.New(db, profile.Rooms{Joined: p.rooms.Joined, Update: p.rooms.UpdateMember}, log)
	p.aliases = alias.New(db, name)
	p.filters = filter.NewStore(db)
	if c.Presence.Enabled {
		p.presence = ephemeral.NewPresence(p.typing, p.journal, ephemeral.PresenceOptions{Load: p.about, Recall: p.lately, Log: log})
		p.loops = append(p.loops, p.presence.Run)
	}
	p.feed = feed.New(feed.Parts{
		Journal: p.journal, Rooms: p.rooms, AccountData: p.data, Receipts: p.receipts, Board: p.typing, Presence: p.presence,
	})
	p.loops = append(p.loops,
		p.accounts.Run,
		p.profiles.Run,
		hourly(log, "forgetting old transactions", p.rooms.ForgetTransactions),
	)
	return p, nil
}

// clientAPI is the client-server API over the domains.
func (p *parts) clientAPI(c config.Config) *csapi.Server {
	return csapi.New(csapi.Parts{
		Name:        p.name,
		Settings:    clientSettings(c),
		Rooms:       p.rooms,
		Accounts:    p.accounts,
		Users:       p.accounts,
		Receipts:    p.receipts,
		Typing:      p.typing,
		Presence:    p.presence,
		Profiles:    p.profiles,
		Aliases:     p.aliases,
		Filters:     p.filters,
		AccountData: p.data,
		Feed:        p.feed,
	})
}

func clientSettings(c config.Config) csapi.Settings {
	modes := map[config.RegistrationMode]csapi.RegistrationMode{
		config.RegistrationClosed: csapi.RegistrationClosed,
		config.RegistrationToken:  csapi.RegistrationToken,
		config.RegistrationOpen:   csapi.RegistrationOpen,
	}
	return csapi.Settings{
		Registration: modes[c.Registration.Mode],
		SharedSecret: string(c.Registration.SharedSecret),
		Guests:       c.Registration.Guests,
		BaseURL:      publicURL(c),
		ProfileFields: csapi.ProfileFields{
			Allowed:    c.Profiles.Allowed.Names(),
			Disallowed: c.Profiles.Disallowed.Names(),
		},
		ProfilesOfSharersOnly: c.Profiles.Lookup == config.LookupSharers,
		UnstableFeatures: map[string]bool{
			"org.matrix.msc3026.busy_presence": c.Presence.Enabled,
			"org.matrix.msc4155":               true,
			"org.matrix.msc4222":               true,
			"org.matrix.msc4380":               true,

			"uk.half-shot.msc2666.query_mutual_rooms": true,
		},
	}
}

// publicURL is where clients reach the server, empty if that is not known.
func publicURL(c config.Config) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	if c.ServerName != "localhost" {
		return "https://" + string(c.ServerName)
	}
	if _, port, err := net.SplitHostPort(c.Listen); err == nil && port != "0" {
		return "http://localhost:" + port
	}
	return ""
}

// close ends what is not a loop.
func (p *parts) close() {
	if p.typing != nil {
		p.typing.Close()
	}
}

// mayInvite refuses an invite that a local user does not want.
func (p *parts) mayInvite(ctx context.Context, sender, target id.UserID) error {
	what, err := p.data.Invite(ctx, target, sender)
	if err == nil && what == accountdata.InviteBlocked {
		err = mxerr.New(mxerr.InviteBlocked, "%s does not want to be invited", target)
	}
	return err
}

// about finds out what presence has to know of a user.
func (p *parts) about(ctx context.Context, user id.UserID) (ephemeral.About, error) {
	rooms, err := p.rooms.Rooms(ctx, user)
	if err != nil {
		return ephemeral.About{}, err
	}
	fields, err := p.profiles.Get(ctx, user)
	about := ephemeral.About{Displayname: fields.Get(profile.Displayname), AvatarURL: fields.Get(profile.AvatarURL)}
	for _, m := range rooms {
		if m.Membership == event.MembershipJoin {
			about.Rooms = append(about.Rooms, m.Room.Scope())
		}
	}
	return about, err
}

// lately returns who may have been online when the server was ended.
func (p *parts) lately(ctx context.Context) ([]id.UserID, error) {
	// Where devices were seen is written every few minutes.
	return p.accounts.SeenLately(ctx, 15*time.Minute, ephemeral.MostOffline)
}

// locate finds events for receipts.
func (p *parts) locate(ctx context.Context, roomID id.RoomID, eventID id.EventID) (receipt.At, error) {
	num, err := p.rooms.Num(ctx, roomID)
	if err != nil {
		return receipt.At{}, err
	}
	it, ok, err := p.rooms.Item(ctx, roomID, eventID)
	if err != nil {
		return receipt.At{}, err
	}
	if !ok {
		return receipt.At{}, mxerr.New(mxerr.NotFound, "There is no event %s in room %s", eventID, roomID)
	}
	at := receipt.At{
		Room: int64(num), Scope: num.Scope(), Thread: receipt.ThreadMain,
		Mark: receipt.Mark{
			Place: it.Place, Unread: it.Unread, Loud: it.Loud,
			ThreadedUnread: it.Threaded.Unread, ThreadedLoud: it.Threaded.Loud,
		},
	}
	if it.Thread != "" {
		at.Thread = string(it.Thread)
		at.InThread = receipt.Mark{Place: it.Place, Unread: it.Own.Unread, Loud: it.Own.Loud}
	}
	return at, nil
}
