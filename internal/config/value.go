package config

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"parley/internal/mail"
	"parley/matrix/id"
	"parley/matrix/signing"
)

// A value is how one key is written, and where it goes.
type value struct {
	// form is how help names the value, such as HOST:PORT.
	form string
	// plain says what the file has it as.
	plain plainType
	// set checks the text and puts the result into its field. "" empties the
	// field. The error completes a sentence that begins with the value.
	set func(c *Config, text string) error
}

// A plainType says how the file has a value.
type plainType uint8

const (
	plainText    plainType = iota // with quotes if need be
	plainBoolean                  // true or false without quotes
	plainNumber                   // a number without quotes
)

func (p plainType) String() string {
	return [...]string{"text, in quotes if need be", "true or false, without quotes", "a number, without quotes"}[p]
}

// valueOf is a value that parse understands.
func valueOf[T any](form string, field func(*Config) *T, parse func(string) (T, error)) value {
	return value{form: form, set: func(c *Config, text string) error {
		var parsed T
		if text != "" {
			var err error
			if parsed, err = parse(text); err != nil {
				return err
			}
		}
		*field(c) = parsed
		return nil
	}}
}

func boolean(field func(*Config) *bool) value {
	v := valueOf("true|false", field, func(text string) (bool, error) {
		switch text {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return false, errors.New("is neither true nor false")
	})
	v.plain = plainBoolean
	return v
}

func oneOf[T ~string](field func(*Config) *T, choices ...T) value {
	var names []string
	for _, c := range choices {
		names = append(names, string(c))
	}
	return valueOf(strings.Join(names, "|"), field, func(text string) (T, error) {
		for _, c := range choices {
			if text == string(c) {
				return c, nil
			}
		}
		return "", fmt.Errorf("is not one of %s", strings.Join(names, ", "))
	})
}

func serverName(field func(*Config) *id.ServerName) value {
	return valueOf("NAME", field, func(text string) (id.ServerName, error) {
		name, err := id.ParseStrictServerName(text)
		var refused *id.Error
		if errors.As(err, &refused) {
			return "", fmt.Errorf("is not a name for a server: %s", refused.Reason)
		}
		return name, err
	})
}

// listOf is values separated by commas, kept as text so that they can be compared.
// One is what all look like that parse refuses.
func listOf[T ~string](form, one string, field func(*Config) *T, parse func(string) (text string, ok bool)) value {
	return valueOf(form, field, func(text string) (T, error) {
		var list []string
		for part := range strings.SplitSeq(text, ",") {
			parsed, ok := parse(strings.TrimSpace(part))
			if !ok {
				return "", fmt.Errorf("has %s in it, which is not %s", show(part), one)
			}
			list = append(list, parsed)
		}
		return T(strings.Join(list, ",")), nil
	})
}

// splitList takes a list apart, nil if it is empty.
func splitList(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// ServerNames are names of servers, separated by commas.
type ServerNames string

// List returns the names, nil if there are none.
func (n ServerNames) List() (names []id.ServerName) {
	for _, name := range splitList(string(n)) {
		names = append(names, id.ServerName(name))
	}
	return names
}

func serverNames(field func(*Config) *ServerNames) value {
	return listOf("NAMES", "the name of a server", field, func(text string) (string, bool) {
		_, err := id.ParseServerName(text)
		return text, err == nil
	})
}

// TurnURIs are addresses of TURN servers, separated by commas.
type TurnURIs string

// List returns the addresses, nil if there are none.
func (u TurnURIs) List() []string { return splitList(string(u)) }

func turnURIs(field func(*Config) *TurnURIs) value {
	return listOf("URIS", "the address of a TURN server, such as turn:turn.example.org", field, func(uri string) (string, bool) {
		scheme, rest, _ := strings.Cut(uri, ":")
		return uri, slices.Contains([]string{"turn", "turns", "stun", "stuns"}, scheme) && rest != "" && !strings.ContainsFunc(uri, unicode.IsSpace)
	})
}

// publicKey is an Ed25519 key in Base64, without padding.
func publicKey(field func(*Config) *string) value {
	return valueOf("KEY", field, func(text string) (string, error) {
		key, err := signing.DecodeBase64(text)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return "", errors.New("is not an Ed25519 key of 32 bytes in Base64")
		}
		return signing.EncodeBase64(key), nil
	})
}

// Fields are names of profile fields, separated by commas, or none.
type Fields string

// Names returns the names: nil for those that are not set, none for none.
func (f Fields) Names() []string {
	switch f {
	case "":
		return nil
	case "none":
		return []string{}
	}
	return strings.Split(string(f), ",")
}

func fields(field func(*Config) *Fields) value {
	return valueOf("NAME,NAME|none", field, func(text string) (Fields, error) {
		for _, name := range Fields(text).Names() {
			if !id.IsNamespaced(name) {
				return "", fmt.Errorf("has %s in it, which is not the name of a profile field", show(name))
			}
		}
		return Fields(text), nil
	})
}

// path is the name of a file or directory. Whether it exists is found out by
// who opens it.
func path(form string, field func(*Config) *string) value {
	return valueOf(form, field, parseText)
}

// Paths are names of files, separated by commas.
type Paths string

// List returns the names, nil if there are none.
func (p Paths) List() []string { return splitList(string(p)) }

func paths(field func(*Config) *Paths) value {
	return listOf("FILES", "the name of a file", field, func(text string) (string, bool) {
		name, err := parseText(text)
		return name, err == nil && name != ""
	})
}

func parseText(text string) (string, error) {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return "", errors.New("has a line break or another control character in it")
	}
	return text, nil
}

// parsePrefix reads what keys begin with: the names of folders, with a slash at the
// end.
func parsePrefix(text string) (string, error) {
	text, err := parseText(text)
	if err == nil && (strings.HasPrefix(text, "/") || strings.Contains(text, "//")) {
		err = errors.New("has a folder without a name")
	}
	if err == nil && text != "" && !strings.HasSuffix(text, "/") {
		text += "/"
	}
	return text, err
}

func secret(field func(*Config) *Secret) value {
	return valueOf("SECRET", field, func(text string) (Secret, error) {
		text, err := parseText(text)
		return Secret(text), err
	})
}

func integer(least, most int, field func(*Config) *int) value {
	v := valueOf("NUMBER", field, func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("is not a number from %d to %d", least, most)
		}
		return n, nil
	})
	v.plain = plainNumber
	return v
}

// units are what a size may end in.
var units = [...]struct {
	name  string
	bytes int64
}{{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}}

// size is a number of bytes, such as 500K, 100M or 2G, of at least a kilobyte.
func size(field func(*Config) *int64) value {
	return valueOf("SIZE", field, func(text string) (int64, error) {
		for _, u := range units {
			digits, ok := strings.CutSuffix(text, u.name)
			if !ok {
				continue
			}
			if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n > 0 && n <= math.MaxInt64/u.bytes {
				return n * u.bytes, nil
			}
		}
		return 0, errors.New("is not a size, such as 500K, 100M or 2G")
	})
}

// duration is a time span as Go writes it, such as 90s or 1h30m.
func duration(field func(*Config) *time.Duration) value {
	return valueOf("DURATION", field, func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return 0, errors.New("is not a duration, such as 90s, 30m or 720h")
		case d < time.Second:
			return 0, errors.New("is less than a second")
		}
		return d, nil
	})
}

// localpart is what comes before the colon in the ID of a new user.
func localpart(field func(*Config) *string) value {
	return valueOf("LOCALPART", field, func(text string) (string, error) {
		if _, err := id.NewUserID(text, "localhost"); err != nil {
			return "", errors.New("is not the name of a user, which has lower case letters, digits and ._=-/+")
		}
		return text, nil
	})
}

func address(field func(*Config) *string) value {
	return valueOf("HOST:PORT", field, func(text string) (string, error) {
		host, port, err := net.SplitHostPort(text)
		var refused *net.AddrError
		if errors.As(err, &refused) {
			return "", fmt.Errorf("is not HOST:PORT: %s", refused.Err)
		}
		if err != nil {
			return "", fmt.Errorf("is not HOST:PORT: %w", err)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
			return "", fmt.Errorf("is not HOST:PORT: the port %s is not a number from 0 to 65535", show(port))
		}
		if !isHost(host) {
			return "", fmt.Errorf("is not HOST:PORT: the host %s is neither a name nor an address", show(host))
		}
		return text, nil
	})
}

// isHost accepts what can be listened on: nothing for all addresses, an IP
// address with or without a zone, a host name.
func isHost(host string) bool {
	if host == "" {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	_, err := id.ParseServerName(host)
	return err == nil
}

// publicURL is the address of a server, without anything behind its host that
// clients would lose: they append paths to it.
func publicURL(field func(*Config) *string) value {
	return valueOf("HTTP-URL", field, func(text string) (string, error) {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
			return "", errors.New("is not an http:// or https:// URL")
		case u.User != nil || u.RawQuery != "" || u.Fragment != "":
			return "", errors.New("has more than a host and a path")
		}
		return strings.TrimSuffix(text, "/"), nil
	})
}

// webAddress is the address of a page.
func webAddress(field func(*Config) *string) value {
	return valueOf("HTTP-URL", field, func(text string) (string, error) {
		if !isWebAddress(text) {
			return "", errors.New("is not an http:// or https:// URL")
		}
		return text, nil
	})
}

// Patterns are patterns with * and ?, separated by commas.
type Patterns string

// List returns the patterns, nil if there are none.
func (p Patterns) List() []string { return splitList(string(p)) }

func patterns(field func(*Config) *Patterns) value {
	return listOf("PATTERNS", "a pattern", field, func(text string) (string, bool) {
		return text, text != "" && !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	})
}

// Origins are sites of the web, each as https://HOST or with a port, separated by
// commas.
type Origins string

// List returns the sites, nil if there are none.
func (o Origins) List() []string { return splitList(string(o)) }

func origins(field func(*Config) *Origins) value {
	return listOf("SITES", "a site, such as https://app.element.io", field, func(text string) (string, bool) {
		u, err := url.Parse(strings.TrimSuffix(text, "/"))
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return "", false
		}
		return strings.ToLower(u.String()), u.Scheme+"://"+u.Host == u.String()
	})
}

// mailFrom is a mail address, perhaps with a name before it.
func mailFrom(field func(*Config) *string) value {
	return valueOf("ADDRESS", field, func(text string) (string, error) {
		from, err := mail.ParseFrom(text)
		if err != nil {
			return "", errors.New("is not a mail address, such as parley@example.org or Example <parley@example.org>")
		}
		return from.String(), nil
	})
}

// databaseURL says nothing of what is wrong inside the URL, because the reasons
// of net/url repeat parts of it, and a password with an unescaped '/' or '@'
// moves into the part that is wrong.
func databaseURL(field func(*Config) *Secret) value {
	return valueOf("URL", field, func(text string) (Secret, error) {
		u, err := url.Parse(text)
		if err != nil {
			return "", errors.New("is not a valid URL; special characters in a password must be percent-encoded")
		}
		if u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" {
			return "", errors.New("does not begin with postgres://")
		}
		return Secret(text), nil
	})
}

// A Secret is text that is not shown: however it is formatted, encoded or
// logged, "(secret)" comes out, or nothing if it is empty. Convert it to a
// string to use it.
type Secret string

// Format prints what may be seen, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) {
	text, _ := s.MarshalText()
	f.Write(text)
}

// MarshalText gives what may be seen, and so does not round-trip.
func (s Secret) MarshalText() ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	return []byte("(secret)"), nil
}

// show quotes a value for a message. It can be anything, and long.
func show(text string) string {
	const limit = 80
	if len(text) > limit {
		return strconv.Quote(strings.ToValidUTF8(text[:limit], "")) + "…"
	}
	return strconv.Quote(text)
}
