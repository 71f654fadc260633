package interop

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strconv"
)

// newSynapse has an address in its server name.
func newSynapse(dir string, a *authority) (*server, error) {
	s, tls, err := newServer("synapse", "127.0.0.1", dir, a)
	if err != nil {
		return nil, err
	}
	if err := s.configure(tls, a); err != nil {
		return nil, err
	}
	python := os.Getenv("PARLEY_INTEROP_PYTHON")
	run := func(more ...string) *exec.Cmd {
		return exec.Command(python, append([]string{"-m", "synapse.app.homeserver", "-c", s.file("homeserver.yaml")}, more...)...)
	}
	if out, err := run("--generate-keys").CombinedOutput(); err != nil {
		return nil, &failure{"generating the keys of Synapse", err, out}
	}
	s.command = func() *exec.Cmd { return run() }
	return s, s.start()
}

// configure writes what Synapse reads, in JSON, which is YAML, too.
func (s *server) configure(tls string, a *authority) error {
	type object = map[string]any
	listener := func(address string, secure bool, serves ...string) object {
		host, port, _ := net.SplitHostPort(address)
		number, _ := strconv.Atoi(port)
		return object{"port": number, "bind_addresses": []string{host}, "type": "http", "tls": secure,
			"resources": []object{{"names": serves}}}
	}
	rate := object{"per_second": 1e6, "burst_count": 1e6}
	return firstOf(
		writeJSON(s.file("homeserver.yaml"), object{
			"server_name": s.name,
			"listeners":   []object{listener(tls, true, "client", "federation"), listener(s.url[len("http://"):], false, "client")},

			"tls_certificate_path": s.file("cert.pem"), "tls_private_key_path": s.file("key.pem"),
			"federation_custom_ca_list": []string{a.file}, "ip_range_blacklist": []string{},
			"trusted_key_servers": []string{}, "suppress_key_server_warning": true,

			"database":         object{"name": "sqlite3", "args": object{"database": s.file("homeserver.db")}},
			"log_config":       s.file("log.yaml"),
			"media_store_path": s.file("media"), "pid_file": s.file("pid"), "signing_key_path": s.file("signing.key"),
			"report_stats": false, "macaroon_secret_key": "of one run", "form_secret": "of one run",

			"enable_registration": true, "enable_registration_without_verification": true, "bcrypt_rounds": 4,
			"enable_room_list_search": true, "allow_public_rooms_over_federation": true, "allow_public_rooms_without_auth": true,
			"room_list_publication_rules": []object{{"action": "allow"}},

			"allow_device_name_lookup_over_federation": true,

			"caches": object{"sync_response_cache_duration": 0},

			// Waits are for the internet.
			"federation": object{
				"destination_min_retry_interval": "1s", "destination_max_retry_interval": "2s", "max_short_retries": 1,
				"max_long_retries": 1, "max_long_retry_delay": "1s", "client_timeout": "20s",
			},
			"rc_message": rate, "rc_registration": rate, "rc_admin_redaction": rate, "rc_joins_per_room": rate, "rc_room_creation": rate,
			"rc_login":      object{"address": rate, "account": rate, "failed_attempts": rate},
			"rc_joins":      object{"local": rate, "remote": rate},
			"rc_invites":    object{"per_room": rate, "per_user": rate, "per_issuer": rate},
			"rc_presence":   object{"per_user": rate},
			"rc_federation": object{"window_size": 1000, "sleep_limit": 1000000, "sleep_delay": 1, "reject_limit": 1000000, "concurrent": 100},
		}),
		writeJSON(s.file("log.yaml"), object{
			"version": 1, "disable_existing_loggers": false,
			"formatters": object{"line": object{"format": "%(asctime)s %(levelname)s %(name)s %(request)s %(message)s"}},
			"handlers":   object{"out": object{"class": "logging.StreamHandler", "formatter": "line", "filters": []string{"context"}}},
			"filters":    object{"context": object{"()": "synapse.logging.context.LoggingContextFilter", "request": ""}},
			"root":       object{"level": "INFO", "handlers": []string{"out"}},
		}),
	)
}

func writeJSON(file string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
