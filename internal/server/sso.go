package server

import (
	"fmt"

	"parley/internal/config"
	"parley/internal/csapi"
	"parley/internal/sso"
	"parley/internal/store"
)

// newSSO returns the logins by identity providers, nil if there are none. They are
// named by the operator, and may be anywhere.
func newSSO(db *store.DB, c config.Config, n Network) (*sso.Logins, error) {
	if c.SSO.Providers == "" {
		return nil, nil
	}
	list, err := sso.ParseProviders([]byte(c.SSO.Providers))
	if err != nil {
		return nil, fmt.Errorf("sso.providers: it %w", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	return sso.New(db, sso.Options{Providers: list, Callback: publicURL(c) + csapi.SSOCallback, Dial: n.Own}), nil
}
