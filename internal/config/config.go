package config

import (
	"time"

	"parley/matrix/id"
)

// A Config is a complete configuration that passed all checks. The comment at
// a field is its key; what it means, how it looks and what it is by default
// stands under that name in keys. Paths are relative to the working
// directory.
type Config struct {
	ServerName id.ServerName // server_name
	DataDir    string        // data_dir
	Listen     string        // listen
	PublicURL  string        // public_url, "" to follow from the server name
	// QueryTokens says that access tokens may be part of the URL.
	QueryTokens bool // query_tokens
	TLS         TLS
	// Database is a postgres:// URL, "" for SQLite in DataDir.
	Database     Secret // database
	Registration Registration
	Passwords    Passwords
	Tokens       Tokens
	Support      Support
	RateLimits   RateLimits
	Federation   Federation
	Outbound     Outbound
	Identity     Identity
	Addresses    Addresses
	Mail         Mail
	SMS          SMS
	SSO          SSO
	Turn         Turn
	AppServices  AppServices
	Presence     Presence
	Profiles     Profiles
	Journal      Journal
	Retention    Retention
	Notices      Notices
	Delayed      Delayed
	Threads      Threads
	Media        Media
	Bucket       Bucket
	Search       Search
	Users        UserDirectory
	Rendezvous   RendezvousMode // rendezvous
	Push         Push
}

// TLS has either all three fields or none.
type TLS struct {
	Listen string // tls.listen
	Cert   string // tls.cert
	Key    string // tls.key
}

type Registration struct {
	Mode         RegistrationMode // registration.mode
	SharedSecret Secret           // registration.shared_secret
	Guests       bool             // registration.guests
	RequireEmail bool             // registration.require_email
	// Terms is an object as the member policies of m.login.terms, "" for none.
	Terms string // registration.terms
}

// A RegistrationMode says who may make an account.
type RegistrationMode string

const (
	RegistrationClosed RegistrationMode = "closed" // nobody
	RegistrationToken  RegistrationMode = "token"  // who has a registration token
	RegistrationOpen   RegistrationMode = "open"   // everybody
)

// Passwords says what new passwords have to be like.
type Passwords struct {
	MinLength int // passwords.min_length
	MinKinds  int // passwords.min_kinds
}

type Support struct {
	// Contacts is an array as in /.well-known/matrix/support, "" for none.
	Contacts string // support.contacts
	Page     string // support.page, "" for none
}

// Tokens says how long access tokens are good; 0: until their device is removed.
type Tokens struct {
	Login           bool          // tokens.login
	Lifetime        time.Duration // tokens.lifetime
	LastingLifetime time.Duration // tokens.lasting_lifetime
}

type RateLimits struct {
	Enabled bool // rate_limits.enabled
}

type Federation struct {
	Delegate             id.ServerName // federation.delegate, "" for none
	PolicyServerKey      string        // federation.policy_server_key, "" for none
	Notaries             ServerNames   // federation.notaries, "" for none
	ExtraCA              string        // federation.extra_ca, "" for none
	AllowPrivateNetworks bool          // federation.allow_private_networks
}

type Outbound struct {
	AllowPrivateNetworks bool // outbound.allow_private_networks
}

type Identity struct {
	Trusted ServerNames // identity.trusted, "" for none
}

// Addresses says which mail addresses and telephone numbers accounts may have.
type Addresses struct {
	Emails    Patterns // addresses.emails, "" for all
	Numbers   Patterns // addresses.numbers, "" for all
	NextLinks Origins  // addresses.next_links, "" for none
}

// SMS says how messages to telephones are sent. There are none without a URL.
type SMS struct {
	URL   string // sms.url, "" for none
	Token Secret // sms.token, "" for none
}

// SSO says by whom people may log in.
type SSO struct {
	Providers Secret  // sso.providers, a JSON array of sso.Provider, "" for none
	Clients   Origins // sso.clients, "" for none
}

// Mail says how letters are sent. There are none without a Server.
type Mail struct {
	Server   string        // mail.server, "" for none
	TLS      MailTLS       // mail.tls
	User     string        // mail.user, "" for none
	Password Secret        // mail.password
	From     string        // mail.from
	Timeout  time.Duration // mail.timeout
}

// A MailTLS says when TLS begins on a connection to the mail server.
type MailTLS string

const (
	MailStartTLS  MailTLS = "starttls" // after a greeting in clear
	MailTLSAtOnce MailTLS = "tls"      // at once
	MailNoTLS     MailTLS = "none"     // never
)

type Turn struct {
	URIs     TurnURIs      // turn.uris, "" for none
	Secret   Secret        // turn.secret
	Lifetime time.Duration // turn.lifetime
}

type AppServices struct {
	Dir   string // appservices.dir, "" for none
	Files Paths  // appservices.files, "" for none
	// QueryTokens says that they are told the hs_token in the URL, too.
	QueryTokens bool // appservices.query_tokens
}

type Presence struct {
	Enabled bool // presence.enabled
}

type Profiles struct {
	Allowed    Fields        // profiles.allowed, "" for all
	Disallowed Fields        // profiles.disallowed
	Lookup     ProfileLookup // profiles.lookup
}

// A ProfileLookup says who may see a profile.
type ProfileLookup string

const (
	LookupAll     ProfileLookup = "all"     // everybody
	LookupSharers ProfileLookup = "sharers" // who shares a room with the user, and everybody if the user is in a public one
)

type Journal struct {
	Keep time.Duration // journal.keep
}

// Retention says how long messages are kept; 0 stands for no limit.
type Retention struct {
	Enabled bool          // retention.enabled
	Default time.Duration // retention.default
	Least   time.Duration // retention.least
	Most    time.Duration // retention.most
}

type Threads struct {
	Subscriptions bool // threads.subscriptions
}

type Search struct {
	Enabled bool // search.enabled
}

// UserDirectory says whom users find who look for others.
type UserDirectory struct {
	All bool // user_directory.search_all_users
}

type Notices struct {
	Localpart   string // notices.localpart, "" for none
	DisplayName string // notices.display_name
	RoomName    string // notices.room_name
}

// Delayed says what users may have sent later.
type Delayed struct {
	MaxDelay time.Duration // delayed_events.max_delay
	MaxUser  int           // delayed_events.max_per_user
}

// Media says what is kept of files, in bytes.
type Media struct {
	Dir       string // media.dir, "" for media in DataDir
	MaxUpload int64  // media.max_upload
	MaxRemote int64  // media.max_remote
	UserQuota int64  // media.user_quota, 0 for none
	CacheSize int64  // media.cache_size
	Public    bool   // media.public
	Previews  bool   // media.previews
	Vips      string // media.vips
	FFmpeg    string // media.ffmpeg
}

// Bucket says where the files are, on the disk only if Name is empty.
type Bucket struct {
	Endpoint  string // bucket.endpoint
	Name      string // bucket.name
	Region    string // bucket.region, "" to ask
	Prefix    string // bucket.prefix, "" or with a slash at its end
	AccessKey string // bucket.access_key
	SecretKey Secret // bucket.secret_key
	ShelfSize int64  // bucket.local_size, in bytes
	Redirect  bool   // bucket.redirect
}

// Push says what this server does as a push gateway.
type Push struct {
	Gateway PushGatewayMode // push.gateway
	Apps    string          // push.apps, an object by app_id, "" for none
}

// A PushGatewayMode says for whom this server is a push gateway.
type PushGatewayMode string

const (
	PushGatewayOff   PushGatewayMode = "off"   // nobody
	PushGatewayUsers PushGatewayMode = "users" // its own users
	PushGatewayOpen  PushGatewayMode = "open"  // users of other servers, too
)

// A RendezvousMode says who may begin a session between devices that are logging in.
type RendezvousMode string

const (
	RendezvousOff   RendezvousMode = "off"   // nobody: there are none
	RendezvousUsers RendezvousMode = "users" // who is logged in
	RendezvousOpen  RendezvousMode = "open"  // everybody
)
