package server

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"

	"parley/internal/account"
	"parley/internal/accountdata"
	"parley/internal/adminapi"
	"parley/internal/alias"
	"parley/internal/config"
	"parley/internal/csapi"
	"parley/internal/ephemeral"
	"parley/internal/feed"
	"parley/internal/filter"
	"parley/internal/journal"
	"parley/internal/notice"
	"parley/internal/profile"
	"parley/internal/receipt"
	"parley/internal/report"
	"parley/internal/room"
	"parley/internal/store"
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
	data     *accountdata.Store
	filters  *filter.Store
	reports  *report.Store
	notices  *notice.Sender // nil: there are none
	profiles *profile.Keeper
	aliases  *alias.Directory
	feed     *feed.Feed

	// loops are what the domains do in the background. The journal, which all
	// of them write to, runs longer than they.
	loops []loop
}

// newParts makes the domains, each after those it needs.
func newParts(ctx context.Context, db *store.DB, o Options, key signing.Key, log *slog.Logger) (p parts, err error) {
	name := o.Config.ServerName
	p.name = name
	if p.journal, err = journal.Open(ctx, db, rand.Text, journal.Options{}); err != nil {
		return p, err
	}
	p.accounts = account.New(db, account.Options{Server: name, Log: log})
	p.rooms = room.New(db, p.journal, room.Options{Server: name, Key: key, Grace: o.Grace, Purges: p.purgeHooks(log), MayDecline: p.mayDecline, Retention: retention(o.Config)})
	p.receipts = receipt.New(db, p.journal, p.locate)
	p.typing = ephemeral.NewBoard(rand.Text(), p.journal.Poke)
	p.data = accountdata.New(db, p.journal)
	p.profiles = profile.New(db, profile.Rooms{Joined: p.rooms.Joined, Update: p.rooms.UpdateMember}, log)
	p.aliases = alias.New(db, name)
	p.filters = filter.NewStore(db)
	p.reports = report.New(db)
	if localpart := o.Config.Notices.Localpart; localpart != "" {
		p.notices = notice.New(db, p.noticeRooms(), notice.Options{User: id.UserID("@" + localpart + ":" + string(name)), Room: o.Config.Notices.RoomName})
	}
	p.feed = feed.New(feed.Parts{Journal: p.journal, Rooms: p.rooms, AccountData: p.data, Receipts: p.receipts, Board: p.typing})
	p.loops = []loop{
		p.accounts.Run,
		p.profiles.Run,
		p.rooms.RunPurges,
		func(ctx context.Context) {
			if err := p.ensureNotifier(ctx, o.Config.Notices.DisplayName); err != nil && ctx.Err() == nil {
				log.Error("there can be no notices", "err", err)
			}
		},
		hourly(log, "forgetting old transactions", p.rooms.ForgetTransactions),
		hourly(log, "forgetting old purges", p.rooms.ForgetPurges),
		hourly(log, "removing old messages", p.rooms.Prune),
		hourly(log, "trimming the journal", func(ctx context.Context) error { return p.journal.TrimOld(ctx, o.Config.Journal.Keep) }),
	}
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
		Profiles:    p.profiles,
		Aliases:     p.aliases,
		Filters:     p.filters,
		Reports:     p.reports,
		AccountData: p.data,
		Feed:        p.feed,
	})
}

// adminAPI is what administrators do over the domains.
func (p *parts) adminAPI() *adminapi.Server {
	return adminapi.New(adminapi.Parts{
		Name: p.name, Version: version(), Rooms: p.rooms, Accounts: p.accounts, Profiles: p.profiles, Aliases: p.aliases,
		Reports: p.reports, Notify: p.notify(),
	})
}

func clientSettings(c config.Config) csapi.Settings {
	modes := map[config.RegistrationMode]csapi.RegistrationMode{
		config.RegistrationClosed: csapi.RegistrationClosed,
		config.RegistrationToken:  csapi.RegistrationToken,
		config.RegistrationOpen:   csapi.RegistrationOpen,
	}
	return csapi.Settings{
		Registration:     modes[c.Registration.Mode],
		SharedSecret:     string(c.Registration.SharedSecret),
		Guests:           c.Registration.Guests,
		BaseURL:          publicURL(c),
		UnstableFeatures: map[string]bool{"org.matrix.msc4222": true},
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

func retention(c config.Config) room.Retention {
	r := c.Retention
	return room.Retention{Enabled: r.Enabled, Default: r.Default, Least: r.Least, Most: r.Most}
}

// purgeHooks is what the deletion of rooms needs of others.
func (p *parts) purgeHooks(log *slog.Logger) room.PurgeHooks {
	return room.PurgeHooks{
		Closing: func(ctx context.Context, roomID, instead id.RoomID) ([]id.RoomAlias, error) {
			if err := p.aliases.Publish(ctx, roomID, false); err != nil {
				return nil, err
			}
			return p.aliases.Move(ctx, roomID, instead)
		},
		Deleted: func(ctx context.Context, num room.Num) error { return p.receipts.Delete(ctx, int64(num)) },
		Profile: p.memberProfile,
		Log:     log,
	}
}
