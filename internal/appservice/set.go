package appservice

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"parley/matrix/id"
)

// A Set is services that can be registered together. A nil Set has none. It does not
// change.
type Set struct {
	list    []*Service
	byToken map[[sha256.Size]byte]*Service
	byID    map[string]*Service
}

// Load reads registration files, and those of a directory, unless that is empty, that
// end in .yaml or .yml. The error names the files that are wrong, all of them.
func Load(dir string, files []string, server id.ServerName) (*Set, error) {
	files = slices.Clone(files)
	if dir != "" {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("looking for application services: %w", err)
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && (ext == ".yaml" || ext == ".yml") {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
	}
	var list []*Service
	var errs []error
	for i, file := range files {
		if slices.Contains(files[:i], file) {
			continue
		}
		s, err := read(file, server)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, s)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return newSet(list)
}

func newSet(list []*Service) (*Set, error) {
	set := &Set{list: list, byToken: make(map[[sha256.Size]byte]*Service), byID: make(map[string]*Service)}
	var errs []error
	for i, s := range list {
		for _, other := range list[:i] {
			if err := s.conflict(other); err != nil {
				errs = append(errs, fmt.Errorf("the application services in %s and %s %w", other.file, s.file, err))
			}
		}
		set.byToken[s.asToken], set.byID[s.ID] = s, s
	}
	return set, errors.Join(errs...)
}

// conflict says why two services cannot be registered together, as the end of a
// sentence that names both; nil: they can.
func (s *Service) conflict(other *Service) error {
	switch {
	case s.ID == other.ID:
		return fmt.Errorf("have the same id %q", s.ID)
	case s.asToken == other.asToken:
		return errors.New("have the same as_token")
	case s.hsToken == other.hsToken:
		return errors.New("have the same hs_token")
	case s.Sender == other.Sender:
		return fmt.Errorf("have the same sender_localpart: both would be %s", s.Sender)
	}
	if mine, theirs, clash := s.users.clash(other.users); clash {
		return fmt.Errorf("claim the same users for themselves: %q and %q", theirs.text, mine.text)
	}
	if mine, theirs, clash := s.aliases.clash(other.aliases); clash {
		return fmt.Errorf("claim the same aliases for themselves: %q and %q", theirs.text, mine.text)
	}
	for _, two := range [][2]*Service{{s, other}, {other, s}} {
		if two[1].users.exclude(string(two[0].Sender)) {
			return fmt.Errorf("conflict: %s, the sender of %s, is in a namespace that %s has for itself", two[0].Sender, two[0].ID, two[1].ID)
		}
	}
	return nil
}

// All returns the services.
func (set *Set) All() []*Service {
	if set == nil {
		return nil
	}
	return set.list
}

// ByToken returns the service with an as_token, nil if there is none.
func (set *Set) ByToken(token string) *Service {
	if set == nil || len(set.byToken) == 0 || token == "" {
		return nil
	}
	return set.byToken[sha256.Sum256([]byte(token))]
}

// ByID returns the service with an ID, nil if there is none.
func (set *Set) ByID(name string) *Service {
	if set == nil {
		return nil
	}
	return set.byID[name]
}

// Reserved reports whether a user can belong to another service only. By is the
// service that asks, nil for everybody else.
func (set *Set) Reserved(user id.UserID, by *Service) bool {
	return slices.ContainsFunc(set.All(), func(s *Service) bool { return s != by && s.OwnsAlone(user) })
}

// ReservedAlias is Reserved for an alias.
func (set *Set) ReservedAlias(alias id.RoomAlias, by *Service) bool {
	return slices.ContainsFunc(set.All(), func(s *Service) bool { return s != by && s.aliases.exclude(string(alias)) })
}
