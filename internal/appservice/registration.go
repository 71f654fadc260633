package appservice

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/goccy/go-yaml"

	"parley/matrix/id"
)

// registration is the content of a registration file, as far as it is understood.
// https://spec.matrix.org/v1.19/application-service-api/#registration
type registration struct {
	ID           string   `yaml:"id"`
	URL          *string  `yaml:"url"`
	ASToken      string   `yaml:"as_token"`
	HSToken      string   `yaml:"hs_token"`
	Sender       string   `yaml:"sender_localpart"`
	RateLimited  *bool    `yaml:"rate_limited"`
	Protocols    []string `yaml:"protocols"`
	Ephemeral    bool     `yaml:"receive_ephemeral"`
	OldEphemeral bool     `yaml:"de.sorunome.msc2409.push_ephemeral"`
	Encryption   bool     `yaml:"org.matrix.msc3202"`
	ToDevice     bool     `yaml:"io.element.msc4203"`
	Namespaces   struct {
		Users   []pattern `yaml:"users"`
		Aliases []pattern `yaml:"aliases"`
		Rooms   []pattern `yaml:"rooms"`
	} `yaml:"namespaces"`
}

type pattern struct {
	Exclusive bool   `yaml:"exclusive"`
	Regex     string `yaml:"regex"`
}

// A Service is an application service as it is registered. It does not change.
type Service struct {
	ID string
	// URL is where it listens, without a slash at the end; empty if it does not
	// want to be told anything.
	URL string
	// Sender is the user that it is if it does not say for whom it acts.
	Sender    id.UserID
	Protocols []string
	// RateLimited says that the limits of users hold for its users.
	RateLimited bool
	// Ephemeral says that it is told who types, has read and is online, and OldNames
	// that it knows that by the names from before this was in the specification.
	Ephemeral, OldNames bool
	// Encryption says that its users encrypt: it is told of devices and keys.
	// https://github.com/matrix-org/matrix-spec-proposals/pull/3202
	Encryption bool
	// ToDevice says that it takes the messages to devices of its users in transactions.
	ToDevice bool

	file    string
	server  id.ServerName
	asToken [sha256.Size]byte // hashed
	hsToken string
	// users match users of this server only.
	users, aliases, rooms namespaces
	// stamp tells whether a service was registered differently before.
	stamp [sha256.Size]byte
}

// most is how large a registration file may be.
const most = 1 << 20

// read reads a registration file.
func read(file string, server id.ServerName) (*Service, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > most {
		err = fmt.Errorf("has more than %d bytes", most)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the application service in %s: %w", file, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the application service in %s: %w", file, err)
	}
	s, err := parse(text, server)
	if err != nil {
		return nil, fmt.Errorf("the application service in %s: %w", file, err)
	}
	s.file = file
	return s, nil
}

// parse reads the content of a registration file. What is not understood in it is
// ignored: services of other servers have more in theirs.
func parse(text []byte, server id.ServerName) (*Service, error) {
	var r registration
	if err := yaml.Unmarshal(text, &r); err != nil {
		// The whole error has the lines around, and so perhaps a token.
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fmt.Errorf("is no registration in YAML: %s", first)
	}
	for _, member := range []struct{ name, value string }{
		{"id", r.ID}, {"as_token", r.ASToken}, {"hs_token", r.HSToken}, {"sender_localpart", r.Sender},
	} {
		if member.value == "" || strings.ContainsRune(member.value, 0) {
			return nil, fmt.Errorf("%s is missing", member.name)
		}
	}
	s := &Service{
		ID: r.ID, RateLimited: r.RateLimited == nil || *r.RateLimited, Protocols: r.Protocols,
		Ephemeral: r.Ephemeral || r.OldEphemeral, OldNames: r.OldEphemeral && !r.Ephemeral, Encryption: r.Encryption,
		ToDevice: (r.Ephemeral || r.OldEphemeral) && (r.Encryption || r.ToDevice),
		server:   server, asToken: sha256.Sum256([]byte(r.ASToken)), hsToken: r.HSToken, stamp: sha256.Sum256(text),
	}
	var err error
	if s.Sender, err = id.NewUserID(r.Sender, server); err != nil {
		return nil, fmt.Errorf("sender_localpart: %w", err)
	}
	if r.URL != nil && *r.URL != "" {
		if s.URL, err = baseURL(*r.URL); err != nil {
			return nil, err
		}
	}
	for _, part := range []struct {
		name string
		from []pattern
		to   *namespaces
	}{{"users", r.Namespaces.Users, &s.users}, {"aliases", r.Namespaces.Aliases, &s.aliases}, {"rooms", r.Namespaces.Rooms, &s.rooms}} {
		for i, p := range part.from {
			n, err := newNamespace(p.Regex, p.Exclusive)
			if err != nil {
				return nil, fmt.Errorf("namespaces.%s[%d]: %w", part.name, i, err)
			}
			*part.to = append(*part.to, n)
		}
	}
	return s, nil
}

func baseURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("url is not an http:// or https:// URL of a host, perhaps with a path, nor null")
	}
	return strings.TrimRight(text, "/"), nil
}

// Owns reports whether a service may act for a user, who need not exist.
func (s *Service) Owns(user id.UserID) bool {
	return user == s.Sender || user.Server() == s.server && s.users.match(string(user))
}

// OwnsAlone reports whether nobody else may have a user.
func (s *Service) OwnsAlone(user id.UserID) bool {
	return user == s.Sender || user.Server() == s.server && s.users.exclude(string(user))
}

// OwnsAlias reports whether a service may make an alias.
func (s *Service) OwnsAlias(alias id.RoomAlias) bool { return s.aliases.match(string(alias)) }
