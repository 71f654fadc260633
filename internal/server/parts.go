package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"parley/internal/account"
	"parley/internal/accountdata"
	"parley/internal/adminapi"
	"parley/internal/alias"
	"parley/internal/appservice"
	"parley/internal/config"
	"parley/internal/csapi"
	"parley/internal/delay"
	"parley/internal/devicelist"
	"parley/internal/directory"
	"parley/internal/e2ee"
	"parley/internal/ephemeral"
	"parley/internal/fedsend"
	"parley/internal/feed"
	"parley/internal/filter"
	"parley/internal/gateway"
	"parley/internal/identity"
	"parley/internal/inbound"
	"parley/internal/inherit"
	"parley/internal/journal"
	"parley/internal/mail"
	"parley/internal/media"
	"parley/internal/notice"
	"parley/internal/profile"
	"parley/internal/push"
	"parley/internal/receipt"
	"parley/internal/remote"
	"parley/internal/rendezvous"
	"parley/internal/report"
	"parley/internal/room"
	"parley/internal/search"
	"parley/internal/sms"
	"parley/internal/sso"
	"parley/internal/store"
	"parley/internal/subscription"
	"parley/internal/todevice"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/pushrule"
	"parley/matrix/signing"
)

// parts are the domains of a server over what they stand on.
type parts struct {
	name id.ServerName
	log  *slog.Logger

	journal  *journal.Journal
	accounts *account.Accounts
	doorman  *account.Doorman
	rooms    *room.Engine
	receipts *receipt.Book
	typing   *ephemeral.Board
	presence *ephemeral.Presence // nil if nobody is to know of it
	data     *accountdata.Store
	filters  *filter.Store
	reports  *report.Store
	notices  *notice.Sender // nil: there are none
	profiles *profile.Keeper
	aliases  *alias.Directory
	heirs    *inherit.Keeper
	keys     *e2ee.Keys
	backups  *e2ee.Backups
	outbound *remote.Client
	mail     *mail.Sender // nil: none is sent
	sms      *sms.Sender  // nil: none is sent
	identity *identity.Servers
	sso      *sso.Logins // nil: there are no identity providers
	feed     *feed.Feed
	toDevice *todevice.Store
	devices  *devicelist.Store
	delayed  *delay.Store
	media    *media.Store
	threads  *subscription.Store
	services *appservice.Services
	pushers  *push.Pushers
	notified *push.History
	push     *push.Sender
	// pushGateway is what this server is to devices, nil if nothing.
	pushGateway *gateway.Gateway
	gateways    *remote.Client // how push gateways are reached
	search      *search.Index  // nil: messages cannot be searched
	directory   *directory.Directory

	federation federation

	// loops are what the domains do in the background. The journal, which all
	// of them write to, runs longer than they.
	loops []loop
}

// newParts makes the domains, each after those it needs.
func newParts(ctx context.Context, db *store.DB, o Options, key signing.Key, n Network, log *slog.Logger) (p parts, err error) {
	c, name := o.Config, o.Config.ServerName
	p.name, p.log = name, log
	if p.journal, err = journal.Open(ctx, db, rand.Text, journal.Options{}); err != nil {
		return p, err
	}
	messages, err := p.messages(c, n)
	if err != nil {
		return p, err
	}
	var toDevice *todevice.Store // made of the accounts that tell them of their devices
	var devices *devicelist.Store
	var users *directory.Directory
	p.accounts = account.New(db, account.Options{
		Server: name, TokenLife: c.Tokens.Lifetime, LastingTokenLife: c.Tokens.LastingLifetime,
		Passwords: account.PasswordPolicy{MinLength: c.Passwords.MinLength, MinKinds: c.Passwords.MinKinds},
		// Nobody has to be called by their whole ID.
		Created: func(tx *store.Tx, user id.UserID, name string) error {
			if err := profile.Begin(tx, user, cmp.Or(name, user.Localpart())); err != nil {
				return err
			}
			return users.Note(tx, user)
		},
		Removing: p.removing, Departed: p.depart, Messages: messages, Log: log,
		Removed: func(tx *store.Tx, user id.UserID, devices []id.DeviceID) error {
			return errors.Join(toDevice.Forget(tx, user, devices), p.feed.ForgetDevices(tx, user, devices))
		},
		Change: func(ctx context.Context, user id.UserID, concerns func(*store.Tx) (bool, error), do func(*store.Tx) error) error {
			p.services.Devices(user)
			return devices.Change(ctx, user, concerns, do)
		},
	})
	if p.federation, err = newFederation(ctx, db, name, key, c.Federation.Notaries.List(), n, log); err != nil {
		return p, err
	}
	p.typing = ephemeral.NewBoard(rand.Text(), p.journal.Poke)
	p.typing.OnTyping(p.tellTyping)
	var official []id.UserID
	if c.Notices.Localpart != "" {
		official = append(official, id.UserID("@"+c.Notices.Localpart+":"+string(name)))
	}
	proposed := pushrule.Proposed{Threads: c.Threads.Subscriptions, Polls: true}
	p.data = accountdata.New(db, p.journal, accountdata.Options{Official: official, Rules: proposed})
	var doorman *account.Doorman // made of the rooms that they are told of
	var heirs *inherit.Keeper
	p.rooms = room.New(db, p.journal, room.Options{
		Server: name, Key: key, Keys: p.federation.ring, Elsewhere: p.federation.servers, Spaces: p.federation.servers.Hierarchy, Log: log,
		Unwelcome: func(roomID id.RoomID) { doorman.Look(roomID) },
		Inherits:  func(h room.Heir) { heirs.Expect(h) },
		Gone:      func(num room.Num, user id.UserID) { p.typing.Stop(num.Scope(), user) },
		MayInvite: p.mayInvite,
		Grace:     o.Grace, Now: o.Now, Purges: p.purgeHooks(log), MayDecline: p.mayDecline, Retention: retention(c), Rules: proposed,
	})
	doorman = p.accounts.NewDoorman(account.GuestRooms{
		Joined: p.rooms.Joined, Members: p.rooms.LocalMembers, Admits: p.admitsGuests, Leave: p.leave,
	})
	p.doorman = doorman
	p.receipts = receipt.New(db, p.journal, p.locate)
	toDevice = todevice.New(db, p.journal, todevice.Options{Server: name, Devices: account.DevicesOf, Log: log})
	devices = devicelist.New(p.deviceLists(db, log))
	p.toDevice, p.devices = toDevice, devices
	p.keys = e2ee.New(db, p.journal, p.keyOptions())
	p.backups = e2ee.NewBackups(db)
	p.federation.health.OnBack(devices.Back)
	users = directory.New(directory.Parts{
		Server: name, DB: db, Journal: p.journal, Rooms: p.rooms, Locals: p.locals, Listed: p.accounts.Listed, Profile: p.profile,
		All: c.Users.All, Log: log,
	})
	p.directory = users
	p.profiles = profile.New(profile.Parts{
		DB: db, Journal: p.journal, Changed: users.Note, Log: log,
		Rooms: profile.Rooms{Joined: p.rooms.Joined, Update: p.rooms.UpdateMember, Scopes: room.JoinedScopes, Sharers: p.rooms.Sharers},
	})
	p.aliases = alias.New(db, name)
	p.outbound = remote.New(n.outbound(c))
	if p.sso, err = newSSO(db, c, n); err != nil {
		return p, err
	}
	files, err := p.mediaOptions(c)
	if err != nil {
		return p, err
	}
	p.media = media.New(db, files)
	p.identity = identity.New(p.outbound, identity.Options{Trusted: c.Identity.Trusted.List(), Server: name, Key: key})
	p.delayed = delay.New(db, p.journal, delay.Options{
		MaxDelay: c.Delayed.MaxDelay, MaxScheduled: c.Delayed.MaxUser, Send: p.sendDelayed, Log: log,
	})
	p.threads = subscription.New(db, p.journal, func(ctx context.Context, roomID id.RoomID) (int64, error) {
		num, err := p.rooms.Num(ctx, roomID)
		return int64(num), err
	})
	p.pushers = p.newPushers(db, c)
	heirs = inherit.New(p.rooms, p.data, log)
	p.heirs = heirs
	p.filters = filter.NewStore(db)
	p.reports = report.New(db)
	if len(official) > 0 {
		p.notices = notice.New(db, p.noticeRooms(), notice.Options{User: official[0], Room: c.Notices.RoomName})
	}
	if c.Presence.Enabled {
		p.presence = ephemeral.NewPresence(p.typing, p.journal, ephemeral.PresenceOptions{
			Load: p.about, Recall: p.lately, Announce: p.tellPresence, Log: log,
		})
		p.loops = append(p.loops, p.presence.Run)
	}
	p.feed = feed.New(feed.Parts{
		Journal: p.journal, Rooms: p.rooms, AccountData: p.data, Receipts: p.receipts, Board: p.typing, Presence: p.presence,
		Erased: p.accounts.Erased, Keys: p.keys, ToDevice: p.toDevice, DeviceLists: p.devices, Profiles: p.profiles, DB: db,
		Subscriptions: p.threads, ThreadRules: proposed.Threads,
	})
	if p.services, err = p.appServices(ctx, db, o, n); err != nil {
		return p, err
	}
	if err := p.newPush(db, n, c); err != nil {
		return p, err
	}
	if err := p.newSearch(ctx, db, c.Search.Enabled); err != nil {
		return p, err
	}
	p.federation.inbox = inbound.New(db, inboundRooms(p.rooms), log)
	p.federation.health.OnBack(p.federation.inbox.Back)
	p.federation.sender = fedsend.New(fedsend.Parts{
		Server: name, DB: db, Journal: p.journal, Rooms: p.rooms, Remote: p.federation.servers,
		Receipts: p.receipts, ToDevice: p.toDevice, DeviceLists: p.devices, Status: p.presence.Status, Log: log,
	})
	if p.sso != nil {
		p.loops = append(p.loops, hourly(log, "forgetting old logins", p.sso.Forget))
	}
	p.loops = append(p.loops,
		p.federation.inbox.Run, p.federation.health.Run,
		p.federation.sender.Run,
		p.services.Run,
		p.accounts.Run,
		p.doorman.Run,
		p.devices.Run,
		p.media.Run,
		p.push.Run,
		p.profiles.Run,
		p.heirs.Run,
		p.directory.Run,
		p.delayed.Run,
		p.rooms.RunPurges,
		p.rooms.CompleteRooms,
		p.rooms.RunInvites,
		p.rooms.RunMerges,
		p.rooms.RunSticky,
		func(ctx context.Context) {
			if err := p.ensureNotifier(ctx, c.Notices.DisplayName); err != nil && ctx.Err() == nil {
				log.Error("there can be no notices", "err", err)
			}
		},
		hourly(log, "forgetting old transactions", p.rooms.ForgetTransactions),
		hourly(log, "forgetting old purges", p.rooms.ForgetPurges),
		hourly(log, "forgetting rooms that were not finished", p.rooms.ForgetUnfinished),
		hourly(log, "forgetting what was sent to devices", p.toDevice.Tidy),
		hourly(log, "forgetting device lists", p.devices.Tidy),
		hourly(log, "forgetting old connections", p.feed.ForgetConnections),
		hourly(log, "forgetting delayed events", p.delayed.Tidy),
		hourly(log, "removing old messages", p.rooms.Prune),
		hourly(log, "forgetting sticky events", p.rooms.ForgetSticky),
		hourly(log, "trimming the journal", func(ctx context.Context) error { return p.journal.TrimOld(ctx, c.Journal.Keep) }),
	)
	return p, nil
}

// clientAPI is the client-server API over the domains.
func (p *parts) clientAPI(c config.Config) (*csapi.Server, error) {
	settings, err := clientSettings(c)
	if err != nil {
		return nil, fmt.Errorf("reading the settings: %w", err)
	}
	var meetings *rendezvous.Sessions
	if c.Rendezvous != config.RendezvousOff {
		meetings = rendezvous.New()
	}
	return csapi.New(csapi.Parts{
		Rendezvous:     meetings,
		Name:           p.name,
		Settings:       settings,
		Rooms:          p.rooms,
		Remote:         p.federation.servers,
		RemoteProfiles: remote.NewProfiles(p.federation.servers),
		Accounts:       p.accounts,
		Users:          p.users(),
		Doorman:        p.doorman,
		Receipts:       p.receipts,
		Typing:         p.typing,
		Presence:       p.presence,
		Profiles:       p.profiles,
		Aliases:        p.aliases,
		Heirs:          p.heirs,
		Identity:       p.identity,
		SSO:            p.sso,
		Log:            p.log,
		Keys:           p.keys,
		Backups:        p.backups,
		Inbox:          p.inbox,
		Filters:        p.filters,
		Reports:        p.reports,
		AccountData:    p.data,
		Feed:           p.feed,
		ToDevice:       p.toDevice,
		Delayed:        p.delayed,
		Media:          p.media,
		Subscriptions:  p.threads,
		Services:       p.services,
		Pushers:        p.pushers,
		PushGateway:    p.pushGateway,
		Notified:       p.notified,
		Search:         p.search,
		UserDirectory:  p.directory,
	}), nil
}

// adminAPI is what administrators do over the domains.
func (p *parts) adminAPI() *adminapi.Server {
	return adminapi.New(adminapi.Parts{
		Name: p.name, Version: Version(), Rooms: p.rooms, Accounts: p.accounts, Profiles: p.profiles, Aliases: p.aliases,
		Reports: p.reports, Media: p.media, Pushers: p.pushers, Push: p.push, Search: p.search, Notify: p.notify(), Services: p.services,
	})
}

func clientSettings(c config.Config) (csapi.Settings, error) {
	modes := map[config.RegistrationMode]csapi.RegistrationMode{
		config.RegistrationClosed: csapi.RegistrationClosed,
		config.RegistrationToken:  csapi.RegistrationToken,
		config.RegistrationOpen:   csapi.RegistrationOpen,
	}
	s := csapi.Settings{
		Registration: modes[c.Registration.Mode],
		SharedSecret: string(c.Registration.SharedSecret),
		Guests:       c.Registration.Guests,
		LoginTokens:  c.Tokens.Login,

		EmailRequired: c.Registration.RequireEmail,
		NextLinks:     c.Addresses.NextLinks.List(),
		SSOClients:    c.SSO.Clients.List(),
		BaseURL:       publicURL(c),
		Turn:          csapi.Turn{URIs: c.Turn.URIs.List(), Secret: string(c.Turn.Secret), Lifetime: c.Turn.Lifetime},
		ProfileFields: csapi.ProfileFields{
			Allowed:    c.Profiles.Allowed.Names(),
			Disallowed: c.Profiles.Disallowed.Names(),
		},
		RendezvousOfUsers:     c.Rendezvous == config.RendezvousUsers,
		ProfilesOfSharersOnly: c.Profiles.Lookup == config.LookupSharers,
		MaxUpload:             c.Media.MaxUpload,
		PushGatewayOfUsers:    c.Push.Gateway == config.PushGatewayUsers,
		UnstableFeatures: map[string]bool{
			"m.separate_add_and_bind":          true,
			"m.id_access_token":                true,
			"m.require_identity_server":        false,
			"fi.mau.msc2815":                   true,
			"org.matrix.msc3026.busy_presence": c.Presence.Enabled,
			"org.matrix.msc3814":               true,
			"org.matrix.msc3814.v1":            true,
			"org.matrix.msc3391":               true,
			"org.matrix.msc3874":               true,
			"org.matrix.msc3881":               true,
			"org.matrix.msc3967":               true,
			"org.matrix.msc4028":               true,
			"org.matrix.msc4155":               true,
			"org.matrix.msc4108":               c.Rendezvous != config.RendezvousOff,
			"io.element.msc4388":               c.Rendezvous != config.RendezvousOff,
			"org.matrix.msc4140":               c.Delayed.MaxUser > 0,
			"org.matrix.msc4140.stable":        c.Delayed.MaxUser > 0,
			"org.matrix.msc4222":               true,
			"org.matrix.msc4262":               true,
			"org.matrix.msc4306":               c.Threads.Subscriptions,
			"org.matrix.msc4354":               true,
			"org.matrix.msc4380":               true,
			"org.matrix.msc4429":               true,
			"org.matrix.simplified_msc3575":    true,

			"uk.half-shot.msc2666.query_mutual_rooms": true,
		},
	}
	if c.Registration.Terms != "" {
		if err := json.Unmarshal([]byte(c.Registration.Terms), &s.Terms); err != nil {
			return s, fmt.Errorf("registration.terms: %w", err)
		}
	}
	if c.Support.Contacts != "" {
		if err := json.Unmarshal([]byte(c.Support.Contacts), &s.Support.Contacts); err != nil {
			return s, fmt.Errorf("support.contacts: %w", err)
		}
	}
	s.Support.Page = c.Support.Page
	s.PolicyKey = c.Federation.PolicyServerKey
	return s, nil
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
	if p.media != nil {
		p.media.Close()
	}
	if p.federation.servers != nil {
		p.federation.servers.Close()
	}
	if p.typing != nil {
		p.typing.Close()
	}
	if p.outbound != nil {
		p.outbound.Close()
	}
	if p.gateways != nil {
		p.gateways.Close()
	}
	if p.sms != nil {
		p.sms.Close()
	}
	if p.sso != nil {
		p.sso.Close()
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

// locals returns users of this server behind one.
func (p *parts) locals(ctx context.Context, after id.UserID, limit int) ([]id.UserID, error) {
	list, err := p.accounts.List(ctx, after, limit)
	users := make([]id.UserID, len(list))
	for i, info := range list {
		users[i] = info.UserID
	}
	return users, err
}

// profile returns the profile of a user of this server.
func (p *parts) profile(ctx context.Context, user id.UserID) (canonjson.Value, error) {
	return p.profiles.Get(ctx, user)
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

func retention(c config.Config) room.Retention {
	r := c.Retention
	return room.Retention{Enabled: r.Enabled, Default: r.Default, Least: r.Least, Most: r.Most}
}

// purgeHooks is what the deletion of rooms needs of others.
func (p *parts) purgeHooks(log *slog.Logger) room.PurgeHooks {
	return room.PurgeHooks{
		Closing: func(ctx context.Context, roomID, instead id.RoomID) ([]id.RoomAlias, error) {
			if err := p.rooms.Publish(ctx, roomID, false); err != nil && !errors.Is(err, mxerr.NotFound) {
				return nil, err
			}
			return p.aliases.Redirect(ctx, roomID, instead)
		},
		Deleted: func(ctx context.Context, roomID id.RoomID, num room.Num) error {
			err := p.receipts.Delete(ctx, int64(num))
			if err == nil {
				err = p.data.DeleteRoom(ctx, roomID)
			}
			if err == nil {
				err = p.threads.DeleteRoom(ctx, roomID)
			}
			if err == nil && p.search != nil {
				err = p.search.DeleteRoom(ctx, num)
			}
			if err == nil && p.notices != nil {
				err = p.notices.Forget(ctx, roomID)
			}
			return err
		},
		Profile: func(ctx context.Context, user id.UserID) (canonjson.Value, error) {
			return p.profiles.Member(ctx, user)
		},
		Log: log,
	}
}
