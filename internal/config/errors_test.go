package config

import (
	"strings"
	"testing"
)

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		name    string
		file    string
		environ []string
		args    []string
		want    []string
	}{
		// Names.
		{name: "unknown key", file: "# c\n\nlisen: :1", want: []string{`parley.yaml:3: the key "lisen" is not known, did you mean listen?`}},
		{name: "unknown key in a section", file: "tls:\n  crt: x", want: []string{`parley.yaml:2: the key "tls.crt" is not known, did you mean tls.cert?`}},
		{name: "unknown section", file: "rate_limit:\n  enabled: true", want: []string{`parley.yaml:1: the key "rate_limit" is not known, did you mean rate_limits?`}},
		{name: "a key outside its section", file: "guests: true", want: []string{`parley.yaml:1: the key "guests" is not known, did you mean registration.guests?`}},
		{name: "a section too deep", file: "tls:\n  tls:\n    cert: x", want: []string{`parley.yaml:2: the key "tls.tls" is not known, did you mean tls?`}},
		{name: "a key like nothing", file: "colour: blue", want: []string{`parley.yaml:1: the key "colour" is not known; --help lists all that are`}},
		{name: "a key that is no text", file: "1: x", want: []string{`parley.yaml:1: the key "1" is not known; --help lists all that are`}},
		{name: "a merge key", file: "<<: {listen: ':1'}", want: []string{`parley.yaml:1: the key "<<" is not known; --help lists all that are`}},
		{
			name: "unknown variables", environ: []string{"PARLEY_LISTN=:1", "PARLEY_TSET_X=1", "PARLEY_=", "PARLEY_listen=:1"},
			want: []string{
				`the variable "PARLEY_LISTN" is not known, did you mean PARLEY_LISTEN?`,
				`the variable "PARLEY_TSET_X" is not known; --help lists all that are`,
				`the variable "PARLEY_" is not known; --help lists all that are`,
				`the variable "PARLEY_listen" is not known, did you mean PARLEY_LISTEN?`,
			},
		},
		{
			name: "unknown flags", args: []string{"--lisen", ":1", "-listen=:1", "--registration-mode", "open", "--registration-shared-secret", "s3cret"},
			want: []string{
				`the flag "--lisen" is not known, did you mean --listen?`,
				`the flag "-listen" is not known, did you mean --listen?`,
				`the flag "--registration-mode" is not known; --help lists all that are`,
				`the flag "--registration-shared-secret" is not known; --help lists all that are`,
			},
		},
		{name: "an argument that is no flag", args: []string{"serve"}, want: []string{`the argument "serve" is not expected: all settings are flags`}},

		// Twice.
		{name: "a key twice", file: "listen: :1\ndata_dir: x\nlisten: :1", want: []string{"parley.yaml:3: listen: is given twice, first at parley.yaml:1: listen"}},
		{name: "a key twice, once with its dot", file: "tls.key: x\ntls: {cert: c, key: k, listen: ':1'}", want: []string{"parley.yaml:2: tls.key: is given twice, first at parley.yaml:1: tls.key"}},
		{name: "a section twice", file: "tls:\npresence:\ntls:", want: []string{"parley.yaml:3: the section tls is there twice, first at parley.yaml:1"}},
		{name: "a variable twice", environ: []string{"PARLEY_LISTEN=:1", "PARLEY_LISTEN=:1"}, want: []string{"PARLEY_LISTEN: is given twice"}},
		{name: "a flag twice", args: []string{"--listen", ":1", "--listen=:2"}, want: []string{"--listen: is given twice"}},
		{name: "two configuration files", args: []string{"--config", "a", "--config", "b"}, want: []string{"--config: is given twice"}},
		{
			name: "a secret and its file", file: "registration:\n  shared_secret: x\n  shared_secret_file: y",
			want: []string{"parley.yaml:3: registration.shared_secret_file: the same secret is given at parley.yaml:2: registration.shared_secret, want one of them"},
		},
		{
			name: "a secret and its file in variables", environ: []string{"PARLEY_DATABASE_FILE=f", "PARLEY_DATABASE=postgres://u:s3cret@h/d"},
			want: []string{"PARLEY_DATABASE: the same secret is given at PARLEY_DATABASE_FILE, want one of them"},
		},

		// Types.
		{name: "a number for text", file: "server_name: 1.2", want: []string{`parley.yaml:1: server_name: "1.2" is a number, want text, in quotes if need be`}},
		{name: "true for text", file: "data_dir: true", want: []string{`parley.yaml:1: data_dir: "true" is true or false, want text, in quotes if need be`}},
		{name: "nothing for text", file: "data_dir:\nlisten: ~", want: []string{
			"parley.yaml:1: data_dir: is empty, want text, in quotes if need be",
			"parley.yaml:2: listen: is empty, want text, in quotes if need be",
		}},
		{name: "a list for text", file: "listen: [':1']", want: []string{"parley.yaml:1: listen: is a list, want text, in quotes if need be"}},
		{name: "a section for text", file: "listen: {port: 1}", want: []string{"parley.yaml:1: listen: is a section, want text, in quotes if need be"}},
		{name: "an anchor, an alias and a tag", file: "data_dir: &a x\nlisten: *a\ntls.cert: !!str x", want: []string{
			"parley.yaml:1: data_dir: is YAML's anchor, want text, in quotes if need be",
			"parley.yaml:2: listen: is YAML's alias, want text, in quotes if need be",
			"parley.yaml:3: tls.cert: is YAML's tag, want text, in quotes if need be",
		}},
		{name: "text for true or false", file: "presence:\n  enabled: yes\nregistration:\n  guests: 'true'", want: []string{
			`parley.yaml:2: presence.enabled: "yes" is text, want true or false, without quotes`,
			`parley.yaml:4: registration.guests: "true" is text, want true or false, without quotes`,
		}},
		{name: "a number for true or false", file: "presence:\n  enabled: 1", want: []string{`parley.yaml:2: presence.enabled: "1" is a number, want true or false, without quotes`}},
		{name: "a number for a secret is not shown", file: "registration:\n  shared_secret: 12345678", want: []string{
			"parley.yaml:2: registration.shared_secret: the value (not shown) is a number, want text, in quotes if need be",
		}},
		{name: "text for a section", file: "tls: true", want: []string{"parley.yaml:1: tls is true or false, want a section with keys"}},
		{name: "text for the file", file: "example.org", want: []string{"parley.yaml:1: is text, want keys with values, such as server_name: example.org"}},
		{name: "a list for the file", file: "\n- listen: :1", want: []string{"parley.yaml:2: is a list, want keys with values, such as server_name: example.org"}},

		// Values.
		{name: "names of servers", file: "identity.trusted: a.test,,b.test", want: []string{`parley.yaml:1: identity.trusted: "a.test,,b.test" has "" in it, which is not the name of a server`}},
		{name: "a short key", file: "federation.policy_server_key: AAAA", want: []string{`parley.yaml:1: federation.policy_server_key: "AAAA" is not an Ed25519 key of 32 bytes in Base64`}},
		{name: "files", file: "appservices.files: a.yaml,,b.yaml", want: []string{`parley.yaml:1: appservices.files: "a.yaml,,b.yaml" has "" in it, which is not the name of a file`}},
		{name: "whom mail comes from", file: "mail.from: Example", want: []string{`parley.yaml:1: mail.from: "Example" is not a mail address, such as parley@example.org or Example <parley@example.org>`}},
		{name: "providers that are no JSON", file: "sso.providers: s3cret", want: []string{`parley.yaml:1: sso.providers: the value (not shown) is not JSON`}},
		{name: "providers with a member too many", file: `sso.providers: '[{"id":"x","client_secrets":"s3cret"}]'`, want: []string{`parley.yaml:1: sso.providers: the value (not shown) is not a JSON array of objects with members as documented`}},
		{name: "a provider without a name", file: `sso.providers: '[{"id":"x","client_secret":"s3cret"}]'`, want: []string{`parley.yaml:1: sso.providers: the value (not shown) has as number 1 a provider without name or client_id`}},
		{name: "patterns", file: "addresses.emails: '*@a.test,'", want: []string{`parley.yaml:1: addresses.emails: "*@a.test," has "" in it, which is not a pattern`}},
		{name: "sites", file: "addresses.next_links: https://a.test, https://b.test/x", want: []string{`parley.yaml:1: addresses.next_links: "https://a.test, https://b.test/x" has " https://b.test/x" in it, which is not a site, such as https://app.element.io`}},
		{name: "a site that is none", file: "addresses.next_links: 'https://u@a.test'", want: []string{`parley.yaml:1: addresses.next_links: "https://u@a.test" has "https://u@a.test" in it, which is not a site, such as https://app.element.io`}},
		{name: "TURN servers", file: "turn.uris: turn:a.test, https://b.test", want: []string{`parley.yaml:1: turn.uris: "turn:a.test, https://b.test" has " https://b.test" in it, which is not the address of a TURN server, such as turn:turn.example.org`}},
		{name: "server name", file: "server_name: Example.org", want: []string{`parley.yaml:1: server_name: "Example.org" is not a name for a server: upper-case letter 'E' at byte 0`}},
		{name: "mode", environ: []string{"PARLEY_REGISTRATION_MODE=opne"}, want: []string{`PARLEY_REGISTRATION_MODE: "opne" is not one of closed, token, open`}},
		{name: "text for a number", file: "passwords:\n  min_length: '9'", want: []string{`parley.yaml:2: passwords.min_length: "9" is text, want a number, without quotes`}},
		{name: "a fraction", file: "passwords:\n  min_length: 9.5", want: []string{`parley.yaml:2: passwords.min_length: "9.5" is a number, want a number, without quotes`}},
		{name: "a number out of range", file: "passwords:\n  min_length: 1000", want: []string{`parley.yaml:2: passwords.min_length: "1000" is not a number from 1 to 100`}},
		{name: "fields", environ: []string{"PARLEY_PROFILES_ALLOWED=displayname, m.tz"}, want: []string{`PARLEY_PROFILES_ALLOWED: "displayname, m.tz" has " m.tz" in it, which is not the name of a profile field`}},
		{name: "boolean", environ: []string{"PARLEY_PRESENCE_ENABLED=1"}, want: []string{`PARLEY_PRESENCE_ENABLED: "1" is neither true nor false`}},
		{name: "address without a port", args: []string{"--listen", "127.0.0.1"}, want: []string{`--listen: "127.0.0.1" is not HOST:PORT: missing port in address`}},
		{name: "address of IPv6 without brackets", args: []string{"--listen", "::1:80"}, want: []string{`--listen: "::1:80" is not HOST:PORT: too many colons in address`}},
		{name: "port too large", args: []string{"--listen", ":65536"}, want: []string{`--listen: ":65536" is not HOST:PORT: the port "65536" is not a number from 0 to 65535`}},
		{name: "port by name", args: []string{"--listen", ":http"}, want: []string{`--listen: ":http" is not HOST:PORT: the port "http" is not a number from 0 to 65535`}},
		{name: "port with leading zeros", args: []string{"--listen", ":080"}, want: []string{`--listen: ":080" is not HOST:PORT: the port "080" is not a number from 0 to 65535`}},
		{name: "host with a slash", args: []string{"--listen", "http://h:80"}, want: []string{`--listen: "http://h:80" is not HOST:PORT: too many colons in address`}},
		{name: "host with a space", args: []string{"--listen", "my host:80"}, want: []string{`--listen: "my host:80" is not HOST:PORT: the host "my host" is neither a name nor an address`}},
		{name: "a line break in a path", file: "data_dir: |\n  x\n", want: []string{`parley.yaml:1: data_dir: "x\n" has a line break or another control character in it`}},
		{name: "a NUL in the path of a secret", file: `database_file: "a\0"`, want: []string{`parley.yaml:1: database_file: "a\x00" has a line break or another control character in it`}},
		{name: "an empty value for a key with a default", file: "data_dir: ''", environ: []string{"PARLEY_PRESENCE_ENABLED="}, args: []string{"--listen="}, want: []string{
			"parley.yaml:1: data_dir: is empty, want DIR",
			"PARLEY_PRESENCE_ENABLED: is empty, want true|false",
			"--listen: is empty, want HOST:PORT",
		}},
		{name: "a flag without a value", args: []string{"--config", "--listen", "--data-dir"}, want: []string{"--config: has no value", "--listen: has no value", "--data-dir: has no value"}},
		{name: "an empty --config", args: []string{"--config="}, want: []string{"--config: is empty, want FILE"}},
		{name: "a long value is cut", file: "registration:\n  mode: " + strings.Repeat("x", 1000), want: []string{
			`parley.yaml:2: registration.mode: "` + strings.Repeat("x", 80) + `"… is not one of closed, token, open`,
		}},
		{
			name: "a database URL is never shown",
			file: "database: mysql://u:s3cret@h/d", environ: []string{"PARLEY_DATABASE=postgres://u:s3/cret@h/d"}, args: []string{"--database", "postgres:s3cret"},
			want: []string{
				"parley.yaml:1: database: the value (not shown) does not begin with postgres://",
				"PARLEY_DATABASE: the value (not shown) is not a valid URL; special characters in a password must be percent-encoded",
				"--database: the value (not shown) does not begin with postgres://",
			},
		},
		{
			name: "a wrong value that is overridden is wrong",
			file: "listen: '1'", args: []string{"--listen", ":1"},
			want: []string{`parley.yaml:1: listen: "1" is not HOST:PORT: missing port in address`},
		},

		// Values together.
		{name: "a certificate without a key", file: "tls:\n  listen: :1\n  cert: c", want: []string{"parley.yaml:3: tls.cert: the certificate is of no use without its key, tls.key"}},
		{name: "a key without a certificate", environ: []string{"PARLEY_TLS_KEY=k"}, want: []string{"PARLEY_TLS_KEY: the key is of no use without its certificate, tls.cert"}},
		{name: "an address without a certificate", args: []string{"--tls-listen", ":1"}, want: []string{"--tls-listen: TLS needs a certificate and its key, tls.cert and tls.key"}},
		{name: "a certificate without an address", args: []string{"--tls-cert", "c", "--tls-key", "k"}, want: []string{"--tls-cert: the certificate is not used unless tls.listen is given"}},
		{name: "a certificate whose key is taken back", file: "tls: {listen: ':1', cert: c, key: k}", args: []string{"--tls-key="}, want: []string{"parley.yaml:1: tls.cert: the certificate is of no use without its key, tls.key"}},
		{name: "mail from nobody", file: "mail.server: smtp.example.org:587", want: []string{"parley.yaml:1: mail.server: mail has to come from somebody, mail.from"}},
		{name: "a mail address where there is no mail", file: "registration.require_email: true", want: []string{"parley.yaml:1: registration.require_email: nobody can show a mail address unless mail is sent, mail.server"}},
		{name: "a user without a password", file: "mail.user: parley", want: []string{"parley.yaml:1: mail.user: the user is of no use without mail.password"}},
		{name: "a password without a user", file: "mail.password_file: p", want: []string{"parley.yaml:1: mail.password_file: the password is of no use without mail.user"}},
		{name: "a wrong value is not missed as well", file: "tls:\n  listen: '1'\n  cert: c\n  key: k", want: []string{`parley.yaml:2: tls.listen: "1" is not HOST:PORT: missing port in address`}},

		{name: "a bucket without a key", file: "bucket: {name: b, endpoint: 'http://s.test', access_key: k}", want: []string{"parley.yaml:1: bucket.name: a bucket needs bucket.secret_key too"}},
		{name: "a service without a bucket", environ: []string{"PARLEY_BUCKET_ENDPOINT=http://s.test"}, want: []string{"PARLEY_BUCKET_ENDPOINT: there is no bucket, bucket.name"}},
		{name: "a prefix that is none", environ: []string{"PARLEY_BUCKET_PREFIX=/a"}, want: []string{`PARLEY_BUCKET_PREFIX: "/a" has a folder without a name`}},

		// Files that are not YAML.
		{name: "an open bracket", file: "listen: :1\ndata_dir: [x\n", want: []string{"parley.yaml:2: is not valid YAML: sequence end token ']' not found"}},
		{name: "a tab", file: "tls:\n\tcert: x", want: []string{`parley.yaml:2: is not valid YAML: found character '	' that cannot start any token`}},
		{name: "not UTF-8", file: "listen: :1\n# \xff", want: []string{"parley.yaml:2: is not UTF-8"}},
		{name: "two documents", file: "listen: :1\n---\ndata_dir: x\n", want: []string{"parley.yaml:3: a second document begins, want one"}},
		{name: "too long", file: "# " + strings.Repeat("x", maxFileSize), want: []string{"parley.yaml: has more than 65536 bytes"}},
		{name: "many brackets", file: "a:\n  " + strings.Repeat("[", maxFileSize-10), want: []string{"parley.yaml:2: brackets are nested deeper than 16"}},
		{name: "nothing is missed in a file that cannot be read", file: "tls: [", args: []string{"--tls-key", "k"}, want: []string{"parley.yaml:1: is not valid YAML: sequence end token ']' not found"}},
		{name: "a secret beside a mistake is not shown", file: "registration:\n  shared_secret: s3cret\n bad\n", want: []string{"parley.yaml:3: is not valid YAML: value is not allowed in this context"}},

		{
			name: "all that is wrong is reported, in the order of the sources",
			file: "lisen: :1\ntls:\n  crt: x\nserver_name: '@'", environ: []string{"PARLEY_X=1", "PARLEY_PRESENCE_ENABLED=x"}, args: []string{"--x", "--listen", "x", "--tls-cert", "c"},
			want: []string{
				`parley.yaml:1: the key "lisen" is not known, did you mean listen?`,
				`parley.yaml:3: the key "tls.crt" is not known, did you mean tls.cert?`,
				`parley.yaml:4: server_name: "@" is not a name for a server: character '@' at byte 0 is not allowed in a host name`,
				`the variable "PARLEY_X" is not known; --help lists all that are`,
				`PARLEY_PRESENCE_ENABLED: "x" is neither true nor false`,
				`the flag "--x" is not known; --help lists all that are`,
				`--listen: "x" is not HOST:PORT: missing port in address`,
				`--tls-cert: the certificate is of no use without its key, tls.key`,
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := Parse("parley.yaml", []byte(test.file), test.environ, test.args)
			got, want := "no error", strings.Join(test.want, "\n")
			if err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			if strings.Contains(got, "s3") {
				t.Errorf("a secret is shown")
			}
		})
	}
}
