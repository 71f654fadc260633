package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// changed is the defaults with changes.
func changed(change func(c *Config)) Config {
	c := Defaults()
	change(&c)
	return c
}

func TestDefaults(t *testing.T) {
	want := Config{
		ServerName:   "localhost",
		DataDir:      "./parley-data",
		Listen:       "127.0.0.1:8008",
		Registration: Registration{Mode: RegistrationToken},
		Passwords:    Passwords{MinLength: 8, MinKinds: 1},
		Tokens:       Tokens{Lifetime: time.Hour},
		RateLimits:   RateLimits{Enabled: true},
		Presence:     Presence{Enabled: true},
		Mail:         Mail{TLS: MailStartTLS, Timeout: 30 * time.Second},
		Turn:         Turn{Lifetime: 24 * time.Hour},
		QueryTokens:  true,
		Profiles:     Profiles{Lookup: LookupAll},
		Journal:      Journal{Keep: 720 * time.Hour},
		Notices:      Notices{DisplayName: "Server Notices", RoomName: "Server Notices"},
		Delayed:      Delayed{MaxDelay: 24 * time.Hour, MaxUser: 100},
		Media:        Media{MaxUpload: 100 << 20, MaxRemote: 200 << 20, CacheSize: 10 << 30, Previews: true},
		Bucket:       Bucket{ShelfSize: 5 << 30},
		Search:       Search{Enabled: true},
		Rendezvous:   RendezvousOpen,
		Push:         Push{Gateway: PushGatewayUsers},
	}
	if got := Defaults(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// everything is a file in which no field has its default or its zero value,
// and the same as variables.
const everything = `server_name: example.org
data_dir: /var/lib/parley
listen: '[::1]:80'
public_url: https://matrix.example.org/
query_tokens: false
tls:
  listen: :8448
  cert: c.pem
  key: k.pem
database: postgres://u:pw@db/parley
registration:
  mode: open
  shared_secret: s3cret
  guests: true
  require_email: true
  terms: '{"t": {"version": "1", "en": {"name": "T", "url": "https://example.org/t"}}}'
passwords:
  min_length: 12
  min_kinds: 3
support:
  contacts: '[{"role": "m.role.admin", "matrix_id": "@a:b.test"}]'
  page: https://example.org/help
tokens:
  login: true
  lifetime: 5m
  lasting_lifetime: 720h
rate_limits:
  enabled: false
federation:
  delegate: matrix.example.org:443
  policy_server_key: tKMWki9kwaJg5xCjeksdyag1JjYRqFFk/3LaY6BgUEQ=
  notaries: c.test, d.test
  extra_ca: ca.pem
  allow_private_networks: true
outbound:
  allow_private_networks: true
identity:
  trusted: id.example.org, [::1]:8090
addresses:
  emails: '*@example.org, *@example.com'
  numbers: 44*
  next_links: https://App.element.io/, http://localhost:8080
mail:
  server: smtp.example.org:465
  tls: tls
  user: u
  password: s3cret
  from: Example <parley@example.org>
  timeout: 5s
sms:
  url: https://sms.example.org/send
  token: s4cret
sso:
  providers: '[{"name": "X", "id": "x", "issuer": "https://id.example.org", "client_id": "p"}]'
  clients: https://app.element.io
turn:
  uris: turn:a.test?transport=udp, stuns:a.test
  secret: n0rth
  lifetime: 2h
appservices:
  dir: as
  files: a.yaml,b.yaml
  query_tokens: true
presence:
  enabled: false
profiles:
  allowed: none
  disallowed: displayname,m.tz
  lookup: sharers
journal:
  keep: 48h
retention:
  enabled: true
  default: 72h
  least: 24h
  most: 96h
search:
  enabled: false
user_directory:
  search_all_users: true
notices:
  localpart: notices
  display_name: Notices
  room_name: From us
rendezvous: users
delayed_events:
  max_delay: 1h
  max_per_user: 7
threads:
  subscriptions: true
media:
  dir: m
  max_upload: 1M
  max_remote: 2G
  user_quota: 3T
  cache_size: 4K
  public: true
  previews: false
  vips: v
  ffmpeg: f
bucket:
  endpoint: http://obj.test:9000/
  name: files
  region: here
  prefix: a/b
  access_key: ak
  secret_key: sk
  local_size: 6M
  redirect: true
push:
  gateway: open
  apps: '{"org.test": {"fcm": {"account_file": "fcm.json"}}}'
`

func everythingInEnvironment() []string {
	return []string{
		"PARLEY_SERVER_NAME=example.org", "PARLEY_DATA_DIR=/var/lib/parley", "PARLEY_LISTEN=[::1]:80",
		"PARLEY_PUBLIC_URL=https://matrix.example.org", "PARLEY_QUERY_TOKENS=false",
		"PARLEY_TLS_LISTEN=:8448", "PARLEY_TLS_CERT=c.pem", "PARLEY_TLS_KEY=k.pem",
		"PARLEY_DATABASE=postgres://u:pw@db/parley", "PARLEY_REGISTRATION_MODE=open",
		"PARLEY_REGISTRATION_SHARED_SECRET=s3cret", "PARLEY_REGISTRATION_GUESTS=true", "PARLEY_REGISTRATION_REQUIRE_EMAIL=true",
		`PARLEY_REGISTRATION_TERMS={"t":{"en":{"url":"https://example.org/t","name":"T"},"version":"1"}}`,
		"PARLEY_PASSWORDS_MIN_LENGTH=12", "PARLEY_PASSWORDS_MIN_KINDS=3",
		`PARLEY_SUPPORT_CONTACTS=[{"matrix_id":"@a:b.test","role":"m.role.admin"}]`, "PARLEY_SUPPORT_PAGE=https://example.org/help",
		"PARLEY_TOKENS_LOGIN=true", "PARLEY_TOKENS_LIFETIME=5m", "PARLEY_TOKENS_LASTING_LIFETIME=720h",
		"PARLEY_RATE_LIMITS_ENABLED=false", "PARLEY_FEDERATION_DELEGATE=matrix.example.org:443", "PARLEY_FEDERATION_EXTRA_CA=ca.pem",
		"PARLEY_FEDERATION_POLICY_SERVER_KEY=tKMWki9kwaJg5xCjeksdyag1JjYRqFFk/3LaY6BgUEQ",
		"PARLEY_FEDERATION_NOTARIES=c.test,d.test",
		"PARLEY_FEDERATION_ALLOW_PRIVATE_NETWORKS=true", "PARLEY_OUTBOUND_ALLOW_PRIVATE_NETWORKS=true",
		"PARLEY_IDENTITY_TRUSTED= id.example.org,[::1]:8090", "PARLEY_TURN_URIS=turn:a.test?transport=udp,stuns:a.test",
		"PARLEY_ADDRESSES_EMAILS=*@example.org,*@example.com", "PARLEY_ADDRESSES_NUMBERS=44*",
		"PARLEY_ADDRESSES_NEXT_LINKS=https://app.element.io,http://localhost:8080", "PARLEY_SMS_URL=https://sms.example.org/send", "PARLEY_SMS_TOKEN=s4cret",
		`PARLEY_SSO_PROVIDERS=[{"client_id":"p","id":"x","issuer":"https://id.example.org","name":"X"}]`, "PARLEY_SSO_CLIENTS=https://app.element.io/",
		"PARLEY_MAIL_SERVER=smtp.example.org:465", "PARLEY_MAIL_TLS=tls", "PARLEY_MAIL_USER=u", "PARLEY_MAIL_PASSWORD=s3cret",
		"PARLEY_MAIL_FROM=Example <parley@example.org>", "PARLEY_MAIL_TIMEOUT=5s",
		"PARLEY_TURN_SECRET=n0rth", "PARLEY_TURN_LIFETIME=2h", "PARLEY_APPSERVICES_DIR=as", "PARLEY_APPSERVICES_FILES=a.yaml, b.yaml", "PARLEY_APPSERVICES_QUERY_TOKENS=true", "PARLEY_PRESENCE_ENABLED=false",
		"PARLEY_PROFILES_ALLOWED=none", "PARLEY_PROFILES_DISALLOWED=displayname,m.tz", "PARLEY_PROFILES_LOOKUP=sharers",
		"PARLEY_JOURNAL_KEEP=48h", "PARLEY_RETENTION_ENABLED=true", "PARLEY_RETENTION_DEFAULT=72h",
		"PARLEY_RETENTION_LEAST=24h", "PARLEY_RETENTION_MOST=96h", "PARLEY_NOTICES_LOCALPART=notices",
		"PARLEY_SEARCH_ENABLED=false", "PARLEY_USER_DIRECTORY_SEARCH_ALL_USERS=true",
		"PARLEY_NOTICES_DISPLAY_NAME=Notices", "PARLEY_NOTICES_ROOM_NAME=From us",
		"PARLEY_RENDEZVOUS=users",
		"PARLEY_DELAYED_EVENTS_MAX_DELAY=1h", "PARLEY_DELAYED_EVENTS_MAX_PER_USER=7", "PARLEY_THREADS_SUBSCRIPTIONS=true",
		"PARLEY_MEDIA_DIR=m", "PARLEY_MEDIA_MAX_UPLOAD=1M", "PARLEY_MEDIA_MAX_REMOTE=2G", "PARLEY_MEDIA_USER_QUOTA=3T",
		"PARLEY_MEDIA_CACHE_SIZE=4K", "PARLEY_MEDIA_PUBLIC=true", "PARLEY_MEDIA_PREVIEWS=false",
		"PARLEY_MEDIA_VIPS=v", "PARLEY_MEDIA_FFMPEG=f",
		"PARLEY_BUCKET_ENDPOINT=http://obj.test:9000", "PARLEY_BUCKET_NAME=files", "PARLEY_BUCKET_REGION=here", "PARLEY_BUCKET_PREFIX=a/b/",
		"PARLEY_BUCKET_ACCESS_KEY=ak", "PARLEY_BUCKET_SECRET_KEY=sk", "PARLEY_BUCKET_LOCAL_SIZE=6M", "PARLEY_BUCKET_REDIRECT=true",
		"PARLEY_PUSH_GATEWAY=open", `PARLEY_PUSH_APPS={"org.test":{"fcm":{"account_file":"fcm.json"}}}`,
	}
}

func everythingSet() Config {
	return Config{
		ServerName: "example.org",
		DataDir:    "/var/lib/parley",
		Listen:     "[::1]:80",
		PublicURL:  "https://matrix.example.org",
		TLS:        TLS{Listen: ":8448", Cert: "c.pem", Key: "k.pem"},
		Database:   "postgres://u:pw@db/parley",
		Registration: Registration{Mode: RegistrationOpen, SharedSecret: "s3cret", Guests: true, RequireEmail: true,
			Terms: `{"t":{"en":{"name":"T","url":"https://example.org/t"},"version":"1"}}`},
		Passwords:   Passwords{MinLength: 12, MinKinds: 3},
		Support:     Support{Contacts: `[{"matrix_id":"@a:b.test","role":"m.role.admin"}]`, Page: "https://example.org/help"},
		Tokens:      Tokens{Login: true, Lifetime: 5 * time.Minute, LastingLifetime: 720 * time.Hour},
		Federation:  Federation{Delegate: "matrix.example.org:443", PolicyServerKey: "tKMWki9kwaJg5xCjeksdyag1JjYRqFFk/3LaY6BgUEQ", Notaries: "c.test,d.test", ExtraCA: "ca.pem", AllowPrivateNetworks: true},
		Outbound:    Outbound{AllowPrivateNetworks: true},
		Identity:    Identity{Trusted: "id.example.org,[::1]:8090"},
		Addresses:   Addresses{Emails: "*@example.org,*@example.com", Numbers: "44*", NextLinks: "https://app.element.io,http://localhost:8080"},
		SSO:         SSO{Providers: `[{"client_id":"p","id":"x","issuer":"https://id.example.org","name":"X"}]`, Clients: "https://app.element.io"},
		SMS:         SMS{URL: "https://sms.example.org/send", Token: "s4cret"},
		Mail:        Mail{Server: "smtp.example.org:465", TLS: MailTLSAtOnce, User: "u", Password: "s3cret", From: `"Example" <parley@example.org>`, Timeout: 5 * time.Second},
		Turn:        Turn{URIs: "turn:a.test?transport=udp,stuns:a.test", Secret: "n0rth", Lifetime: 2 * time.Hour},
		AppServices: AppServices{Dir: "as", Files: "a.yaml,b.yaml", QueryTokens: true},
		Profiles:    Profiles{Allowed: "none", Disallowed: "displayname,m.tz", Lookup: LookupSharers},
		Journal:     Journal{Keep: 48 * time.Hour},
		Retention:   Retention{Enabled: true, Default: 72 * time.Hour, Least: 24 * time.Hour, Most: 96 * time.Hour},
		Notices:     Notices{Localpart: "notices", DisplayName: "Notices", RoomName: "From us"},
		Delayed:     Delayed{MaxDelay: time.Hour, MaxUser: 7},
		Threads:     Threads{Subscriptions: true},
		Media:       Media{Dir: "m", MaxUpload: 1 << 20, MaxRemote: 2 << 30, UserQuota: 3 << 40, CacheSize: 4 << 10, Public: true, Vips: "v", FFmpeg: "f"},
		Bucket: Bucket{
			Endpoint: "http://obj.test:9000", Name: "files", Region: "here", Prefix: "a/b/", AccessKey: "ak", SecretKey: "sk",
			ShelfSize: 6 << 20, Redirect: true,
		},
		Users:      UserDirectory{All: true},
		Rendezvous: RendezvousUsers,
		Push:       Push{Gateway: PushGatewayOpen, Apps: `{"org.test":{"fcm":{"account_file":"fcm.json"}}}`},
	}
}

func TestSources(t *testing.T) {
	fromFile := func(path, where string, name string) []SecretFile {
		for _, s := range settings() {
			if s.name == name {
				return []SecretFile{{Path: path, Where: where, key: s.key}}
			}
		}
		return nil
	}
	for _, test := range []struct {
		name    string
		file    string
		environ []string
		args    []string
		want    Config
		secrets []SecretFile
	}{
		{name: "nothing gives the defaults", want: Defaults()},
		{name: "every key in the file", file: everything, want: everythingSet()},
		{name: "every key in the environment", environ: everythingInEnvironment(), want: everythingSet()},
		{
			name: "every flag",
			args: []string{"--config", "parley.yaml", "--server-name", "example.org", "--data-dir", "/var/lib/parley", "--listen", "[::1]:80",
				"--tls-listen", ":8448", "--tls-cert", "c.pem", "--tls-key", "k.pem", "--database", "postgres://u:pw@db/parley"},
			want: changed(func(c *Config) {
				e := everythingSet()
				c.ServerName, c.DataDir, c.Listen, c.TLS, c.Database = e.ServerName, e.DataDir, e.Listen, e.TLS, e.Database
			}),
		},
		{
			name: "a flag with an equals sign, and one in its value",
			args: []string{"--listen=:1", "--database=postgres://h/d?sslmode=disable"},
			want: changed(func(c *Config) { c.Listen, c.Database = ":1", "postgres://h/d?sslmode=disable" }),
		},
		{name: "the file overrides the default", file: "listen: :1", want: changed(func(c *Config) { c.Listen = ":1" })},
		{
			name: "the environment overrides the file",
			file: "listen: :1\ndata_dir: a", environ: []string{"PARLEY_LISTEN=:2"},
			want: changed(func(c *Config) { c.Listen, c.DataDir = ":2", "a" }),
		},
		{
			name: "a flag overrides the environment and the file",
			file: "listen: :1", environ: []string{"PARLEY_LISTEN=:2"}, args: []string{"--listen", ":3"},
			want: changed(func(c *Config) { c.Listen = ":3" }),
		},
		{
			name: "an empty value takes back what a lower source gave",
			file: "database: postgres://h/d\ntls: {listen: ':1', cert: c, key: k}", args: []string{"--database=", "--tls-listen=", "--tls-cert=", "--tls-key="},
			want: Defaults(),
		},
		{name: "other variables are left alone", environ: []string{"PATH=/bin", "PARLEY_TEST_POSTGRES=x", "=C:=x", "PARLEY", ""}, want: Defaults()},
		{name: "an empty file", file: "\n", want: Defaults()},
		{name: "a file of comments", file: "# a\n---\n# b\n", want: Defaults()},
		{name: "a section without keys", file: "tls:\n  # cert: x\npresence:\n  enabled: false\n", want: changed(func(c *Config) { c.Presence.Enabled = false })},
		{name: "a byte order mark and CRLF", file: "\ufefflisten: :1\r\ndata_dir: a\r\n", want: changed(func(c *Config) { c.Listen, c.DataDir = ":1", "a" })},
		{name: "the file in JSON", file: `{"listen": ":1", "presence": {"enabled": false}}`, want: changed(func(c *Config) { c.Listen, c.Presence.Enabled = ":1", false })},
		{name: "a key with its dot", file: "presence.enabled: false", want: changed(func(c *Config) { c.Presence.Enabled = false })},
		{name: "a number in quotes is text", file: "data_dir: '12'", want: changed(func(c *Config) { c.DataDir = "12" })},
		{
			name: "a secret in a file of its own is left to be read", file: "registration:\n  shared_secret_file: s",
			want: Defaults(), secrets: fromFile("s", "parley.yaml:2: registration.shared_secret_file", "registration.shared_secret"),
		},
		{
			name: "a secret file overrides a secret below it",
			file: "database: postgres://h/d", environ: []string{"PARLEY_DATABASE_FILE=f"},
			want: Defaults(), secrets: fromFile("f", "PARLEY_DATABASE_FILE", "database"),
		},
		{
			name:    "a secret overrides a secret file below it",
			environ: []string{"PARLEY_DATABASE_FILE=f"}, args: []string{"--database", "postgres://h/d"},
			want: changed(func(c *Config) { c.Database = "postgres://h/d" }),
		},
		{
			name: "a secret file as a flag", args: []string{"--database-file", "f"},
			want: Defaults(), secrets: fromFile("f", "--database-file", "database"),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, secrets, err := Parse("parley.yaml", []byte(test.file), test.environ, test.args)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got  %#v\nwant %#v", got, test.want)
			}
			if !slices.Equal(secrets, test.secrets) {
				t.Errorf("got secret files %+v, want %+v", secrets, test.secrets)
			}
		})
	}
}

// A field that no key sets would keep its zero value here, or its default.
func TestEveryFieldHasAKey(t *testing.T) {
	var compare func(path string, got, preset reflect.Value)
	compare = func(path string, got, preset reflect.Value) {
		if got.Kind() == reflect.Struct {
			for i := range got.NumField() {
				compare(path+"."+got.Type().Field(i).Name, got.Field(i), preset.Field(i))
			}
			return
		}
		if got.Equal(preset) {
			t.Errorf("Config%s: no key sets it; add it to the table, and to everything in this test", path)
		}
	}
	c, _, err := Parse("parley.yaml", []byte(everything), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	compare("", reflect.ValueOf(c), reflect.ValueOf(Defaults()))
}

func TestTableOfKeys(t *testing.T) {
	seen := map[string]string{}
	section := ""
	var sections []string
	for _, s := range settings() {
		for _, name := range []string{s.name, variable(s.name), flagName(s.name)} {
			if other, taken := seen[name]; taken {
				t.Errorf("%s and %s are both %s", other, s.name, name)
			}
			seen[name] = s.name
		}
		if strings.Count(s.name, ".") > 1 {
			t.Errorf("%s: sections do not nest", s.name)
		}
		if strings.HasPrefix(variable(s.name), testPrefix) {
			t.Errorf("%s: variables beginning with %s are ignored", s.name, testPrefix)
		}
		in, _, ok := strings.Cut(s.name, ".")
		if !ok {
			in = ""
		}
		if in != section && in != "" {
			if slices.Contains(sections, in) {
				t.Errorf("%s: the keys of a section follow one another", s.name)
			}
			sections = append(sections, in)
		}
		section = in
	}
	for _, k := range keys {
		if strings.TrimSpace(k.doc) == "" {
			t.Errorf("%s is not documented", k.name)
		}
	}
}

func TestHelpComesBeforeErrors(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"--lisen", "x", "--help"}, {"--listen", "--help"}} {
		if _, _, err := Parse("", nil, []string{"PARLEY_X=1"}, args); !errors.Is(err, ErrHelp) {
			t.Errorf("%q: got %v", args, err)
		}
	}
}
