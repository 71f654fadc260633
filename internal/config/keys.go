package config

import (
	"time"

	"parley/matrix/id"
)

// A key is one setting. Its variable and its flag follow from its name, see
// variable and flagName.
type key struct {
	// name is the path in the file, with a dot between a section and what is
	// in it. The keys of a section follow one another.
	name string
	// flag says whether the command line has it too.
	flag bool
	// secret keeps the value out of messages, and gives the key a sibling with
	// _file after its name.
	secret bool
	// preset is the default as it would be written in the file. A key with ""
	// may be set to "", which is then no value at all.
	preset string
	// example is a value for the example file, for want of a default.
	example string
	// doc is the documentation, its paragraphs separated by an empty line. The
	// first paragraph is what --help shows.
	doc   string
	value value
}

// keys is the table of all keys, in the order in which they are documented.
var keys = []key{
	{
		name: "server_name", flag: true, preset: "localhost",
		value: serverName(func(c *Config) *id.ServerName { return &c.ServerName }),
		doc: `
The name of this server in the identifiers of its users and rooms, as in @alice:example.org. Other servers find it by
this name.

It is lower case, at most 230 bytes long, and usually a domain name without a port, even if the server itself runs on
another host (https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names). It cannot be changed once there
are accounts: the old name is in every event that they sent.`,
	},
	{
		name: "data_dir", flag: true, preset: "./parley-data",
		value: path("DIR", func(c *Config) *string { return &c.DataDir }),
		doc: `
The directory for everything the server keeps on disk. It is made if it does not exist.`,
	},
	{
		name: "listen", flag: true, preset: "127.0.0.1:8008",
		value: address(func(c *Config) *string { return &c.Listen }),
		doc: `
Where plain HTTP is served: all of the client, federation and administration interfaces.

An empty host means all addresses of the machine, port 0 any free port. Plain HTTP is for the machine itself and for a
reverse proxy in front; what comes over the internet should come through TLS.`,
	},
	{
		name: "public_url", example: "https://matrix.example.org",
		value: publicURL(func(c *Config) *string { return &c.PublicURL }),
		doc: `
Where clients reach this server. It is told to those who know the server name only.

Without it, that is https:// and the server name, and for localhost where plain HTTP is served.`,
	},
	{
		name: "query_tokens", preset: "true",
		value: boolean(func(c *Config) *bool { return &c.QueryTokens }),
		doc: `
Whether clients may send their access token as part of the URL, as access_token.

Old clients and scripts do so. URLs end up in the logs of proxies, so the specification advises against it up to v1.19, and
has it no more after that. Without such clients, switch it off.`,
	},
	{
		name: "tls.listen", flag: true, example: ":8448",
		value: address(func(c *Config) *string { return &c.TLS.Listen }),
		doc: `
Where the same interfaces are served with TLS. Needs tls.cert and tls.key.

Other servers try port 8448 of the server name unless they are told otherwise.`,
	},
	{
		name: "tls.cert", flag: true, example: "/etc/parley/cert.pem",
		value: path("FILE", func(c *Config) *string { return &c.TLS.Cert }),
		doc: `
The certificate chain for tls.listen, in PEM, the server's own certificate first.`,
	},
	{
		name: "tls.key", flag: true, example: "/etc/parley/key.pem",
		value: path("FILE", func(c *Config) *string { return &c.TLS.Key }),
		doc: `
The private key of tls.cert, in PEM.`,
	},
	{
		name: "database", flag: true, secret: true, example: "postgres://parley@localhost/parley",
		value: databaseURL(func(c *Config) *Secret { return &c.Database }),
		doc: `
The PostgreSQL database, as a postgres:// URL. Without it, SQLite in the data directory.

The URL is treated as a secret because it can hold a password. On the command line other users of the machine can read
it: prefer database_file, or a password file of PostgreSQL.`,
	},
	{
		name: "registration.mode", preset: "token",
		value: oneOf(func(c *Config) *RegistrationMode { return &c.Registration.Mode },
			RegistrationClosed, RegistrationToken, RegistrationOpen),
		doc: `
Who may make an account: nobody (closed), who has a registration token (token), or everybody (open).

Tokens are those of https://spec.matrix.org/v1.19/client-server-api/#token-authenticated-registration. An open server
that others can reach will be found and used by spammers.`,
	},
	{
		name: "registration.shared_secret", secret: true, example: "a long random text",
		value: secret(func(c *Config) *Secret { return &c.Registration.SharedSecret }),
		doc: `
Whoever knows this secret can make accounts, administrators included, in every mode. Without it, nobody can in this way.`,
	},
	{
		name: "registration.guests", preset: "false",
		value: boolean(func(c *Config) *bool { return &c.Registration.Guests }),
		doc: `
Whether people without an account may look around as guests.`,
	},
	{
		name: "registration.require_email", preset: "false",
		value: boolean(func(c *Config) *bool { return &c.Registration.RequireEmail }),
		doc: `
Whether people have to show a mail address of theirs to get an account. Needs mail.server.

Without it they may, if mail is sent. The very first account can do without.`,
	},
	{
		name:    "registration.terms",
		example: `{"privacy_policy": {"version": "1.2", "en": {"name": "Privacy Policy", "url": "https://example.org/privacy-1.2-en.html"}}}`,
		value:   terms(func(c *Config) *string { return &c.Registration.Terms }),
		doc: `
The policies that people have to accept before they get an account, as a JSON object. Without it, none.

For each policy it has a version and, by language, a name and the address of the text, as in
https://spec.matrix.org/v1.19/client-server-api/#terms-of-service-at-registration. Who has accepted which version is recorded.`,
	},
	{
		name: "passwords.min_length", preset: "8",
		value: integer(1, 100, func(c *Config) *int { return &c.Passwords.MinLength }),
		doc: `
How many characters a new password has to have.

Length is what makes a password hard to guess.`,
	},
	{
		name: "passwords.min_kinds", preset: "1",
		value: integer(1, 4, func(c *Config) *int { return &c.Passwords.MinKinds }),
		doc: `
Of how many kinds the characters of a new password have to be: lower case, upper case, digits, all others.`,
	},
	{
		name: "tokens.login", preset: "false",
		value: boolean(func(c *Config) *bool { return &c.Tokens.Login }),
		doc: `
Whether people can have a token made, with their password, with which another device of theirs logs in.

It is good for two minutes and one login (https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv1loginget_token).
Whoever gets to see it in that time gets into the account.`,
	},
	{
		name: "tokens.lifetime", preset: "1h",
		value: duration(func(c *Config) *time.Duration { return &c.Tokens.Lifetime }),
		doc: `
How long an access token is good that its client can replace by itself:
https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens

A token that was stolen is of use for so long. The client does not notice.`,
	},
	{
		name: "tokens.lasting_lifetime", example: "720h",
		value: duration(func(c *Config) *time.Duration { return &c.Tokens.LastingLifetime }),
		doc: `
How long an access token is good that its client cannot replace. Without it, until the device logs out.

When the time is over people have to log in again. Their clients keep what they have, such as keys.`,
	},
	{
		name:    "support.contacts",
		example: `[{"role": "m.role.admin", "matrix_id": "@admin:example.org", "email_address": "admin@example.org"}]`,
		value:   contacts(func(c *Config) *string { return &c.Support.Contacts }),
		doc: `
Whom people turn to about this server, as a JSON array. Without it, that is not told.

Each has a role, m.role.admin, m.role.security or a name of your own, and a matrix_id or an email_address or both, as in
https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixsupport. A user of another server can be reached when
this one is down.`,
	},
	{
		name: "support.page", example: "https://example.org/support.html",
		value: webAddress(func(c *Config) *string { return &c.Support.Page }),
		doc: `
The address of a page with help for people who use this server.`,
	},
	{
		name: "rate_limits.enabled", preset: "true",
		value: boolean(func(c *Config) *bool { return &c.RateLimits.Enabled }),
		doc: `
Whether clients and servers that ask too much are told to wait. Switch it off for load tests only.`,
	},
	{
		name: "federation.delegate", example: "matrix.example.org:443",
		value: serverName(func(c *Config) *id.ServerName { return &c.Federation.Delegate }),
		doc: `
Where other servers find this one, as a host with or without a port: what is served as /.well-known/matrix/server, if the
web server of server_name passes that on. Without it nothing is served there.`,
	},
	{
		name: "federation.policy_server_key", example: "tKMWki9kwaJg5xCjeksdyag1JjYRqFFk/3LaY6BgUEQ",
		value: publicKey(func(c *Config) *string { return &c.Federation.PolicyServerKey }),
		doc: `
The public Ed25519 key, in Base64, of the policy server that runs under this server's name, if one does: what is served as
/.well-known/matrix/policy_server, from where it gets into rooms that want to ask that server about each event.`,
	},
	{
		name: "federation.notaries", example: "matrix.org",
		value: serverNames(func(c *Config) *ServerNames { return &c.Federation.Notaries }),
		doc: `
Servers, separated by commas, that are asked for the keys of others which cannot be reached themselves. What they say is
believed. A server that has lost its data, and so does not know what it has signed itself, learns its own old keys from them,
too: without that it cannot come back into the rooms that it was in.`,
	},
	{
		name: "federation.extra_ca", example: "/etc/parley/extra-ca.pem",
		value: path("FILE", func(c *Config) *string { return &c.Federation.ExtraCA }),
		doc: `
Certificates in PEM of authorities that are trusted, beside those of the system, to vouch for other servers.`,
	},
	{
		name: "federation.allow_private_networks", preset: "false",
		value: boolean(func(c *Config) *bool { return &c.Federation.AllowPrivateNetworks }),
		doc: `
Whether other servers may have private, loopback and link-local addresses.

Needed for a federation inside one network. On the internet it lets strangers make this server send requests to your
internal machines.`,
	},
	{
		name: "outbound.allow_private_networks", preset: "false",
		value: boolean(func(c *Config) *bool { return &c.Outbound.AllowPrivateNetworks }),
		doc: `
Whether requests to others than homeservers may go to private, loopback and link-local addresses. Those are the requests to
the servers in identity.trusted, and for files and pages of the web.`,
	},
	{
		name: "identity.trusted", example: "identity.example.org",
		value: serverNames(func(c *Config) *ServerNames { return &c.Identity.Trusted }),
		doc: `
The identity servers by which users may invite people whose mail address or telephone number they know, separated by
commas. Without any, nobody can.

They learn whom your users invite, and decide who gets such an invite.`,
	},
	{
		name: "addresses.emails", example: "*@example.org,*@example.com",
		value: patterns(func(c *Config) *Patterns { return &c.Addresses.Emails }),
		doc: `
Which mail addresses accounts may have, as patterns with * and ?, separated by commas. Without it, all.

With an address people log in, and get a new password when they have forgotten theirs. Each belongs to one account.`,
	},
	{
		name: "addresses.numbers", example: "44*,49*",
		value: patterns(func(c *Config) *Patterns { return &c.Addresses.Numbers }),
		doc: `
Which telephone numbers accounts may have, as patterns of digits that begin with the code of the country. Without it, all.`,
	},
	{
		name: "addresses.next_links", example: "https://app.element.io",
		value: origins(func(c *Config) *Origins { return &c.Addresses.NextLinks }),
		doc: `
The sites to which people may be led on who have confirmed an address by a link in a mail, separated by commas. Without it,
none: they are told to go back to where they came from.

Clients on the web say where people are to go on. Whoever could name any site would have your server lead people there.`,
	},
	{
		name: "mail.server", example: "smtp.example.org:587",
		value: address(func(c *Config) *string { return &c.Mail.Server }),
		doc: `
The server that takes mail from this one, by SMTP: that of your provider, or one on the machine. Without it, no mail is sent.

It may be in a private network. Port 587 goes with starttls in mail.tls, port 465 with tls.`,
	},
	{
		name: "mail.tls", preset: "starttls",
		value: oneOf(func(c *Config) *MailTLS { return &c.Mail.TLS }, MailStartTLS, MailTLSAtOnce, MailNoTLS),
		doc: `
How the connection to the mail server is secured: by TLS that begins after a greeting (starttls) or at once (tls), or not at
all (none).

Nothing is sent if that does not succeed. Without TLS, what is on the way between can read the mail, and the password.`,
	},
	{
		name: "mail.user", example: "parley@example.org",
		value: path("TEXT", func(c *Config) *string { return &c.Mail.User }),
		doc: `
As whom this server logs in to the mail server. Without it, it does not.`,
	},
	{
		name: "mail.password", secret: true, example: "a long random text",
		value: secret(func(c *Config) *Secret { return &c.Mail.Password }),
		doc: `
The password of mail.user.`,
	},
	{
		name: "mail.from", example: "Example chat <parley@example.org>",
		value: mailFrom(func(c *Config) *string { return &c.Mail.From }),
		doc: `
Whom mail comes from: an address, with or without a name. Needed if mail is sent.

That mail arrives, and not among spam, takes that the mail server may send for its domain (SPF, DKIM).`,
	},
	{
		name: "mail.timeout", preset: "30s",
		value: duration(func(c *Config) *time.Duration { return &c.Mail.Timeout }),
		doc: `
How long the mail server may take to be reached, and for each step after that.`,
	},
	{
		name: "sms.url", example: "https://sms.example.org/send",
		value: webAddress(func(c *Config) *string { return &c.SMS.URL }),
		doc: `
Where messages to telephones are sent, as a POST of {"to": "+447700900001", "text": "…"}. Without it, accounts have no
telephone numbers.

What answers there passes them on: with a status from 200 to 299 it has, with one from 400 to 499 it will not, and
anything else means to try again later. It may be in a private network.`,
	},
	{
		name: "sms.token", secret: true, example: "a long random text",
		value: secret(func(c *Config) *Secret { return &c.SMS.Token }),
		doc: `
What such a request has as "Authorization: Bearer", so that nobody else can send messages there.`,
	},
	{
		name: "sso.providers", secret: true,
		example: `[{"id": "example", "name": "Example", "issuer": "https://id.example.org", "client_id": "parley", "client_secret": "a long random text"}]`,
		value:   providers(func(c *Config) *Secret { return &c.SSO.Providers }),
		doc: `
The identity providers by which people may log in (OpenID Connect), as a JSON array of objects. Without it, none.

Each has an id, which is not to be changed later, a name that people see, and perhaps an icon (mxc://…) and a brand as in
https://spec.matrix.org/v1.19/client-server-api/#definition-mloginsso-flow-schema_idp; issuer, client_id and client_secret as the
provider gives them to you, who wants to know an address in return: that is public_url and then
/_matrix/client/unstable/org.parley/sso/callback. The scopes are openid, profile and email unless scopes lists others.

Whoever logs in for the first time gets an account, whatever registration.mode says, unless closed is true. Its name is the claim
preferred_username, or one that the person chooses if that is taken; the display name is name, and the mail address email, if
email_verified is true. An object claims with localpart, display_name or email names other claims, or none as "-". With existing,
whoever comes with the name of an account gets that account: only for providers where names cannot be chosen.`,
	},
	{
		name: "sso.clients", example: "https://app.element.io",
		value: origins(func(c *Config) *Origins { return &c.SSO.Clients }),
		doc: `
The sites, separated by commas, whose clients people log in with by an identity provider without being asked whether these may
use their account.

All others can be anybody's, so it is asked.`,
	},
	{
		name: "turn.uris", example: "turn:turn.example.org?transport=udp,turns:turn.example.org",
		value: turnURIs(func(c *Config) *TurnURIs { return &c.Turn.URIs }),
		doc: `
The TURN servers that relay calls of users who cannot reach each other, separated by commas. Without any, such calls
do not come about.`,
	},
	{
		name: "turn.secret", secret: true, example: "a long random text",
		value: secret(func(c *Config) *Secret { return &c.Turn.Secret }),
		doc: `
The secret by which the TURN servers know whom to serve: static-auth-secret of coturn.`,
	},
	{
		name: "turn.lifetime", preset: "24h",
		value: duration(func(c *Config) *time.Duration { return &c.Turn.Lifetime }),
		doc: `
How long a client may use the TURN servers before it has to ask anew.`,
	},
	{
		name: "appservices.dir", example: "/etc/parley/appservices",
		value: path("DIR", func(c *Config) *string { return &c.AppServices.Dir }),
		doc: `
The directory with the registration files of application services (bridges and bots): those in it that end in .yaml or
.yml. docs/operating/appservices.md tells of them.

The files are those of https://spec.matrix.org/v1.19/application-service-api/#registration. They are read at the start, and
again when the server is sent SIGHUP.`,
	},
	{
		name: "appservices.files", example: "/etc/irc/registration.yaml,/etc/signal/registration.yaml",
		value: paths(func(c *Config) *Paths { return &c.AppServices.Files }),
		doc: `
Registration files of application services that are elsewhere, separated by commas.`,
	},
	{
		name: "appservices.query_tokens", preset: "false",
		value: boolean(func(c *Config) *bool { return &c.AppServices.QueryTokens }),
		doc: `
Whether application services are told their hs_token as part of the URL, as access_token, beside the header.

Services from before 2022 look for it there. URLs end up in logs.`,
	},
	{
		name: "presence.enabled", preset: "true",
		value: boolean(func(c *Config) *bool { return &c.Presence.Enabled }),
		doc: `
Whether users see who is online. It costs work and traffic on large servers.`,
	},
	{
		name: "profiles.allowed", example: "displayname,avatar_url,m.tz",
		value: fields(func(c *Config) *Fields { return &c.Profiles.Allowed }),
		doc: `
The fields of their profiles that users may change, separated by commas. Without it, all that profiles.disallowed does
not name; none: users change nothing.`,
	},
	{
		name: "profiles.disallowed", example: "displayname,avatar_url",
		value: fields(func(c *Config) *Fields { return &c.Profiles.Disallowed }),
		doc: `
The fields of their profiles that users may not change, separated by commas: names that another system manages, say. It
means nothing where profiles.allowed is set.`,
	},
	{
		name: "profiles.lookup", preset: "all",
		value: oneOf(func(c *Config) *ProfileLookup { return &c.Profiles.Lookup }, LookupAll, LookupSharers),
		doc: `
Who may see a profile: everybody (all), or who shares a room with the user (sharers). So it is for other servers, too.

Everybody still sees the profiles of those who are in a room that everybody may join or read.`,
	},
	{
		name: "journal.keep", preset: "720h",
		value: duration(func(c *Config) *time.Duration { return &c.Journal.Keep }),
		doc: `
For how long it is remembered in which order things happened, so that clients which were away can be told what they missed.

A client that was away for longer is told everything anew when it comes back. It loses nothing by that, but it takes longer.`,
	},
	{
		name: "retention.enabled", preset: "false",
		value: boolean(func(c *Config) *bool { return &c.Retention.Enabled }),
		doc: `
Whether old messages are removed where a room, or retention.default, says so.

Rooms say it with the state event m.room.retention (MSC1763), whose max_lifetime is in milliseconds. A message that is
older is not shown to anybody any more, and is removed from the database within about a day. State is kept, and so is the
last event of a room.`,
	},
	{
		name: "retention.default", example: "8760h",
		value: duration(func(c *Config) *time.Duration { return &c.Retention.Default }),
		doc: `
After which time messages are removed in rooms that do not say it themselves. Without it, never.`,
	},
	{
		name: "retention.least", example: "24h",
		value: duration(func(c *Config) *time.Duration { return &c.Retention.Least }),
		doc: `
For how long messages are kept at least, whatever their room says.`,
	},
	{
		name: "retention.most", example: "17520h",
		value: duration(func(c *Config) *time.Duration { return &c.Retention.Most }),
		doc: `
For how long messages are kept at most, in rooms that say for how long.`,
	},
	{
		name: "search.enabled", preset: "true",
		value: boolean(func(c *Config) *bool { return &c.Search.Enabled }),
		doc: `
Whether users can search what was said in rooms that are not encrypted.

The index takes about 120 bytes for each message on SQLite, 210 on PostgreSQL. It is made in the background, also of what was
there before. Without it, an index that there was is removed when the server starts.`,
	},
	{
		name: "user_directory.search_all_users", preset: "false",
		value: boolean(func(c *Config) *bool { return &c.Users.All }),
		doc: `
Whether who looks for other users finds all of this server and all that it knows of others.

Otherwise it is those who share a room with the user, or are in one that everybody may join or read.`,
	},
	{
		name: "notices.localpart", example: "notices",
		value: localpart(func(c *Config) *string { return &c.Notices.Localpart }),
		doc: `
The user in whose name administrators send notices to users, as in @notices:example.org. Without it, they cannot.

The account is made when the server starts. Nobody can log in to it. The name must not be that of an account of somebody.`,
	},
	{
		name: "notices.display_name", preset: "Server Notices",
		value: path("TEXT", func(c *Config) *string { return &c.Notices.DisplayName }),
		doc: `
How that user is called.`,
	},
	{
		name: "notices.room_name", preset: "Server Notices",
		value: path("TEXT", func(c *Config) *string { return &c.Notices.RoomName }),
		doc: `
How the rooms are called in which users get notices.`,
	},
	{
		name: "rendezvous", preset: "open",
		value: oneOf(func(c *Config) *RendezvousMode { return &c.Rendezvous }, RendezvousOff, RendezvousUsers, RendezvousOpen),
		doc: `
Who may have the server pass on what two devices say to each other of which one logs the other in by a QR code: nobody (off), who
is logged in (users), or everybody (open).

With users, the device that is logged in has to be the one that shows the code, and to know MSC4388: what clients know of
before, MSC4108 as it was in 2024, has everybody begin. What is passed on is at most 4 KiB, encrypted, and gone after five minutes.`,
	},
	{
		name: "delayed_events.max_delay", preset: "24h",
		value: duration(func(c *Config) *time.Duration { return &c.Delayed.MaxDelay }),
		doc: `
How long clients may have an event delayed.

Calls have people leave in this way whose client is gone (MSC4140): it moves the time on as long as it is there.`,
	},
	{
		name: "delayed_events.max_per_user", preset: "100",
		value: integer(0, 10000, func(c *Config) *int { return &c.Delayed.MaxUser }),
		doc: `
How many events a user may have delayed at the same time. With 0 there are no delayed events.

They may all be sent in the same moment.`,
	},
	{
		name: "threads.subscriptions", preset: "false",
		value: boolean(func(c *Config) *bool { return &c.Threads.Subscriptions }),
		doc: `
Whether what is said in a thread notifies only those who have subscribed to it, and whom it mentions (MSC4306). Clients are told
that the server knows of subscriptions.

It holds for all users: those of clients that cannot subscribe are not notified of threads any more, unless they are mentioned. What is
said meanwhile with the other setting is counted as that one has it.`,
	},
	{
		name: "media.dir", example: "/srv/parley-media",
		value: path("DIR", func(c *Config) *string { return &c.Media.Dir }),
		doc: `
The directory for files that users have uploaded, and for copies of those of other servers. Without it, media in the data
directory. No other server may use it.`,
	},
	{
		name: "media.max_upload", preset: "100M",
		value: size(func(c *Config) *int64 { return &c.Media.MaxUpload }),
		doc: `
How large a file may be that users upload.

A reverse proxy in front may have a limit of its own, which has to be as high.`,
	},
	{
		name: "media.max_remote", preset: "200M",
		value: size(func(c *Config) *int64 { return &c.Media.MaxRemote }),
		doc: `
How large a file of another server may be that users get.`,
	},
	{
		name: "media.user_quota", example: "10G",
		value: size(func(c *Config) *int64 { return &c.Media.UserQuota }),
		doc: `
How much each user may have uploaded in all. Without it, any amount.`,
	},
	{
		name: "media.cache_size", preset: "10G",
		value: size(func(c *Config) *int64 { return &c.Media.CacheSize }),
		doc: `
How much is kept of files of other servers, and of pictures in previews. What was not used for longest goes first, and is
fetched again when somebody wants it.`,
	},
	{
		name: "media.public", preset: "false",
		value: boolean(func(c *Config) *bool { return &c.Media.Public }),
		doc: `
Whether everybody may have files without logging in who knows what they are called, as before v1.11 of the specification.

It is so for what is uploaded, or fetched from elsewhere, while this is on, and stays so for that when it is switched off.
Servers and clients from before then need it. The icons in sso.providers are for everybody in any case.`,
	},
	{
		name: "media.previews", preset: "true",
		value: boolean(func(c *Config) *bool { return &c.Media.Previews }),
		doc: `
Whether users get previews of pages of the web that messages link to.

This server then asks for what others have linked to, and nobody in private networks unless outbound.allow_private_networks
is set.`,
	},
	{
		name: "media.vips", example: "/usr/bin/vips",
		value: path("FILE", func(c *Config) *string { return &c.Media.Vips }),
		doc: `
The program vips, which makes thumbnails of AVIF and HEIF. Without it there are none.

It is run with little time, memory and nothing of this server's around it; still it is a parser in C of what strangers send.`,
	},
	{
		name: "media.ffmpeg", example: "/usr/bin/ffmpeg",
		value: path("FILE", func(c *Config) *string { return &c.Media.FFmpeg }),
		doc: `
The program ffmpeg, which makes thumbnails of videos (MP4, QuickTime, Matroska, WebM, Ogg). Without it there are none. It is run
like vips.`,
	},
	{
		name: "bucket.name", example: "parley-files",
		value: path("BUCKET", func(c *Config) *string { return &c.Bucket.Name }),
		doc: `
The bucket that files are kept in, in a service that speaks the protocol of Amazon S3. Without it, they are in media.dir.

With it, media.dir has copies of files that were used lately, and small pictures. What was there before is taken to the bucket
after the next start, beside other work. "parley media fetch" brings all back.`,
	},
	{
		name: "bucket.endpoint", example: "https://s3.eu-central-1.amazonaws.com",
		value: publicURL(func(c *Config) *string { return &c.Bucket.Endpoint }),
		doc: `
Where the service is that has the bucket. It may be in a private network.`,
	},
	{
		name: "bucket.region", example: "eu-central-1",
		value: path("REGION", func(c *Config) *string { return &c.Bucket.Region }),
		doc: `
The region of the bucket. Without it the service is asked.`,
	},
	{
		name: "bucket.prefix", example: "media/",
		value: valueOf("PREFIX", func(c *Config) *string { return &c.Bucket.Prefix }, parsePrefix),
		doc: `
What the keys of all objects begin with, for a bucket that has more than files of this server.

What is under it belongs to this server: objects that it does not know are removed. An object "owner" says so, and another
server refuses to use the same prefix.`,
	},
	{
		name: "bucket.access_key", example: "AKIAIOSFODNN7EXAMPLE",
		value: path("KEY", func(c *Config) *string { return &c.Bucket.AccessKey }),
		doc: `
Who this server is to the service.`,
	},
	{
		name: "bucket.secret_key", secret: true, example: "a long random text",
		value: secret(func(c *Config) *Secret { return &c.Bucket.SecretKey }),
		doc: `
The secret that goes with the access key.`,
	},
	{
		name: "bucket.local_size", preset: "5G",
		value: size(func(c *Config) *int64 { return &c.Bucket.ShelfSize }),
		doc: `
How much is kept in media.dir of what is in the bucket, with small pictures. What was not used for longest goes first. A file
of more than an eighth of that is read from the bucket each time.`,
	},
	{
		name: "bucket.redirect", preset: "false",
		value: boolean(func(c *Config) *bool { return &c.Bucket.Redirect }),
		doc: `
Whether clients and other servers are sent to the bucket for files, by a link that is good for ten minutes.

They have to be able to reach it, and it has to let web pages read what it has (CORS). Clients of the older endpoints are sent
there only if they say that they may be. Who has the link needs no access token.`,
	},
	{
		name: "push.gateway", preset: "users",
		value: oneOf(func(c *Config) *PushGatewayMode { return &c.Push.Gateway }, PushGatewayOff, PushGatewayUsers, PushGatewayOpen),
		doc: `
For whom this server is a push gateway, so that nobody else has to be: for nobody (off), for its own users (users), or for those
of other servers as well (open).

It passes notifications on to endpoints of UnifiedPush, such as those of ntfy, to Web Push, and to the apps in push.apps. Apps find
it at /_matrix/push/v1/notify under public_url. None is sent into private networks unless outbound.allow_private_networks is set.`,
	},
	{
		name:    "push.apps",
		example: `{"org.example.ios": {"apns": {"topic": "org.example.app", "key_file": "/etc/parley/apns.p8", "key_id": "ABC123DEFG", "team_id": "DEF123GHIJ"}}, "org.example.android": {"fcm": {"account_file": "/etc/parley/fcm.json"}}}`,
		value:   pushApps(func(c *Config) *string { return &c.Push.Apps }),
		doc: `
Apps whose devices the push gateway reaches through Apple or Google, as a JSON object by the app_id that they give. Without it, none.

With apns, an app has the topic, which is the ID of its bundle, and a key of its developer: key_file in PEM, key_id and team_id;
sandbox is true for apps that are being made. With fcm, it has account_file, the JSON file of a service account. Only who makes an
app has these.`,
	},
}
