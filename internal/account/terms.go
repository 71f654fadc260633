package account

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parley/internal/store"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// Terms are the policies that people accept before they get an account, as the
// member policies of the specification has them:
// https://spec.matrix.org/v1.19/client-server-api/#terms-of-service-at-registration
type Terms map[string]Policy

// A Policy is a document in one version and some languages. As JSON it has the
// languages beside the version.
type Policy struct {
	Version   string
	Languages map[string]Document
}

// A Document is a policy in one language.
type Document struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// MarshalJSON is as the type says.
func (p Policy) MarshalJSON() ([]byte, error) {
	v := canonjson.Value("{}")
	for language, d := range p.Languages {
		v = v.With(language, canonjson.Value("{}").With("name", canonjson.Text(d.Name)).With("url", canonjson.Text(d.URL)))
	}
	return v.With("version", canonjson.Text(p.Version)), nil
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (p *Policy) UnmarshalJSON(b []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return err
	}
	if err := json.Unmarshal(members["version"], &p.Version); err != nil {
		return fmt.Errorf("version: %w", err)
	}
	delete(members, "version")
	p.Languages = make(map[string]Document, len(members))
	for language, member := range members {
		var d Document
		if err := json.Unmarshal(member, &d); err != nil {
			return fmt.Errorf("%s: %w", language, err)
		}
		p.Languages[language] = d
	}
	return nil
}

// Versions says which policies in which versions these are: policy=version, in
// order, separated by spaces. Both are opaque identifiers.
func (t Terms) Versions() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(t)) {
		list = append(list, name+"="+t[name].Version)
	}
	return strings.Join(list, " ")
}

// insertAccepted notes which policies a user has accepted.
func insertAccepted(tx *store.Tx, user id.UserID, accepted string) error {
	for _, one := range strings.Fields(accepted) {
		policy, version, _ := strings.Cut(one, "=")
		_, err := tx.Exec(`
			INSERT INTO accepted_terms (user_id, policy, version, accepted) VALUES ($1, $2, $3, $4)
			ON CONFLICT (user_id, policy, version) DO NOTHING`, user, policy, version, time.Now().UnixMilli())
		if err != nil {
			return err
		}
	}
	return nil
}
