package config

import (
	"strings"
	"testing"
)

func TestPoliciesThatAreNone(t *testing.T) {
	const document = `{"name":"T","url":"https://example.org/t"}`
	for text, want := range map[string]string{
		`{`:                             "is not JSON",
		`[]`:                            "is not an object",
		`{"t":{"en":` + document + `}}`: "the name and the version of a policy",
		`{"t":{"version":"1 2","en":` + document + `}}`: "the name and the version of a policy",
		`{"t t":{"version":"1","en":` + document + `}}`: "the name and the version of a policy",
		`{"t":1}`:                                 "the name and the version of a policy",
		`{"t":{"version":"1"}}`:                   "it is in no language",
		`{"t":{"version":"1","en":1}}`:            "en has to have a name, and a url",
		`{"t":{"version":"1","en":{"name":"T"}}}`: "en has to have a name, and a url",
		`{"t":{"version":"1","en":{"name":"","url":"https://example.org"}}}`:        "en has to have a name, and a url",
		`{"t":{"version":"1","en":{"name":"T","url":"javascript:alert(1)"}}}`:       "en has to have a name, and a url",
		`{"t":{"version":"1","en":{"name":"T","url":"https://a.test","nane":"T"}}}`: "en has to have a name, and a url",
	} {
		_, _, err := Parse("", nil, []string{"PARLEY_REGISTRATION_TERMS=" + text}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestContactsThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                     "is not an array",
		`[]`:                                     "has no contact in it",
		`[1]`:                                    "contact 1: it may have role, matrix_id and email_address",
		`[{"role":"m.role.admin"}]`:              "contact 1: it has neither a matrix_id nor an email_address",
		`[{"role":"admin!","matrix_id":"@a:b"}]`: "contact 1: its role is neither",
		`[{"matrix_id":"@a:b"}]`:                 "contact 1: its role is neither",
		`[{"role":"m.role.admin","mail":"a@b"}]`: "contact 1: it may have",
		`[{"role":"m.role.admin","matrix_id":1}]`:                                                 "contact 1: it may have",
		`[{"role":"m.role.admin","matrix_id":"@a:b"},{"role":"m.role.security","matrix_id":"a"}]`: "contact 2: it",
		`[{"role":"m.role.admin","email_address":"nobody"}]`:                                      "contact 1: its email_address is none",
	} {
		_, _, err := Parse("", nil, []string{"PARLEY_SUPPORT_CONTACTS=" + text}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestNumbersAndDurationsThatAreNone(t *testing.T) {
	for _, text := range []string{
		"PARLEY_PASSWORDS_MIN_LENGTH=0", "PARLEY_PASSWORDS_MIN_LENGTH=x", "PARLEY_PASSWORDS_MIN_KINDS=5", "PARLEY_PASSWORDS_MIN_KINDS=1.5",
		"PARLEY_TOKENS_LIFETIME=1", "PARLEY_TOKENS_LIFETIME=1d", "PARLEY_TOKENS_LIFETIME=-1h", "PARLEY_TOKENS_LIFETIME=1ms",
		"PARLEY_SUPPORT_PAGE=example.org", "PARLEY_SUPPORT_PAGE=javascript:1",
	} {
		if _, _, err := Parse("", nil, []string{text}, nil); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func TestAppsThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:               "is not an object of apps",
		`{"a":1}`:          "is not an object of apps",
		`{"a":{"gcm":{}}}`: "is not an object of apps",
		`{"a":{}}`:         "it has to have either apns or fcm",
		`{"a":{"fcm":{}}}`: "fcm has to have account_file",
		`{"a":{"apns":{"topic":"x","key_file":"f","key_id":"k"}}}`:                                          "apns has to have topic",
		`{"a":{"apns":{"topic":"x","key_file":"f","key_id":"k","team_id":"t"},"fcm":{"account_file":"f"}}}`: "it has to have either apns or fcm",
	} {
		_, _, err := Parse("", nil, []string{"PARLEY_PUSH_APPS=" + text}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
