package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"net/url"

	"parley/internal/sso"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// jsonText is a value in JSON that check accepts. The field gets its canonical
// form.
func jsonText(field func(*Config) *string, check func(canonjson.Value) error) value {
	return valueOf("JSON", field, func(text string) (string, error) {
		v, err := canonjson.Canonical([]byte(text), canonjson.Strict)
		if err != nil {
			return "", fmt.Errorf("is not JSON: %w", err)
		}
		return string(v), check(v)
	})
}

// decodeStrictly reads JSON into a type that has all that may be in it.
func decodeStrictly(v canonjson.Value, into any) error {
	d := json.NewDecoder(bytes.NewReader(v))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// providers are identity providers. What is wrong with them is said without what
// they are, for they have secrets.
func providers(field func(*Config) *Secret) value {
	return valueOf("JSON", field, func(text string) (Secret, error) {
		v, err := canonjson.Canonical([]byte(text), canonjson.Strict)
		if err != nil {
			return "", errors.New("is not JSON")
		}
		_, err = sso.ParseProviders(v)
		return Secret(v), err
	})
}

// terms are policies, see
// https://spec.matrix.org/v1.19/client-server-api/#terms-of-service-at-registration
func terms(field func(*Config) *string) value {
	return jsonText(field, func(v canonjson.Value) error {
		if v.Kind() != canonjson.Object {
			return errors.New("is not an object")
		}
		for name, policy := range v.Members() {
			if err := checkPolicy(name.String(), policy); err != nil {
				return fmt.Errorf("is not right at %s: %w", show(name.String()), err)
			}
		}
		return nil
	})
}

func checkPolicy(name string, policy canonjson.Value) error {
	version, _ := policy.Get("version").Text()
	if !id.IsOpaque(name) || !id.IsOpaque(version) {
		return errors.New("the name and the version of a policy are of a-z, A-Z, 0-9 and -._~")
	}
	languages := 0
	for language, member := range policy.Without("version").Members() {
		languages++
		var document struct{ Name, URL string }
		if err := decodeStrictly(member, &document); err != nil || document.Name == "" || !isWebAddress(document.URL) {
			return fmt.Errorf("%s has to have a name, and a url that is http or https, and nothing else", language)
		}
	}
	if languages == 0 {
		return errors.New("it is in no language")
	}
	return nil
}

func isWebAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// contacts are those of
// https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixsupport
func contacts(field func(*Config) *string) value {
	return jsonText(field, func(v canonjson.Value) error {
		if v.Kind() != canonjson.Array {
			return errors.New("is not an array")
		}
		n := 0
		for contact := range v.Elements() {
			n++
			if err := checkContact(contact); err != nil {
				return fmt.Errorf("is not right at contact %d: %w", n, err)
			}
		}
		if n == 0 {
			return errors.New("has no contact in it")
		}
		return nil
	})
}

func checkContact(v canonjson.Value) error {
	var c struct {
		Role   string    `json:"role"`
		UserID id.UserID `json:"matrix_id"`
		Email  string    `json:"email_address"`
	}
	if err := decodeStrictly(v, &c); err != nil {
		return fmt.Errorf("it may have role, matrix_id and email_address: %w", err)
	}
	switch {
	case !id.IsNamespaced(c.Role):
		return errors.New("its role is neither m.role.admin nor m.role.security nor a name like org.example.role")
	case c.UserID == "" && c.Email == "":
		return errors.New("it has neither a matrix_id nor an email_address")
	}
	if c.Email != "" {
		if _, err := mail.ParseAddress(c.Email); err != nil {
			return errors.New("its email_address is none")
		}
	}
	if c.UserID != "" {
		if _, err := id.ParseUserID(string(c.UserID)); err != nil {
			return fmt.Errorf("its matrix_id is none: %w", err)
		}
	}
	return nil
}

// A PushApp is an app that devices are reached by, in one of both ways.
type PushApp struct {
	APNs *PushAPNs `json:"apns"`
	FCM  *PushFCM  `json:"fcm"`
}

type PushAPNs struct {
	Topic   string `json:"topic"`
	KeyFile string `json:"key_file"`
	KeyID   string `json:"key_id"`
	TeamID  string `json:"team_id"`
	Sandbox bool   `json:"sandbox"`
}

type PushFCM struct {
	AccountFile string `json:"account_file"`
}

// pushApps are apps by their app_id.
func pushApps(field func(*Config) *string) value {
	return jsonText(field, func(v canonjson.Value) error {
		apps, err := readPushApps(v)
		for appID, app := range apps {
			switch {
			case (app.APNs == nil) == (app.FCM == nil):
				return fmt.Errorf("is not right at %s: it has to have either apns or fcm", show(appID))
			case app.APNs != nil && (app.APNs.Topic == "" || app.APNs.KeyFile == "" || app.APNs.KeyID == "" || app.APNs.TeamID == ""):
				return fmt.Errorf("is not right at %s: apns has to have topic, key_file, key_id and team_id", show(appID))
			case app.FCM != nil && app.FCM.AccountFile == "":
				return fmt.Errorf("is not right at %s: fcm has to have account_file", show(appID))
			}
		}
		return err
	})
}

func readPushApps(v canonjson.Value) (apps map[string]PushApp, err error) {
	if err := decodeStrictly(v, &apps); err != nil {
		return nil, fmt.Errorf("is not an object of apps with apns or fcm: %w", err)
	}
	return apps, nil
}

// List returns the apps of push.apps, by their app_id.
func (p Push) List() (map[string]PushApp, error) {
	if p.Apps == "" {
		return nil, nil
	}
	return readPushApps(canonjson.Value(p.Apps))
}
