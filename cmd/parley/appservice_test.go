package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRegistrationsAreChecked(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(args ...string) (string, error) {
		var out bytes.Buffer
		p := &program{out: &out, err: &out, environ: []string{"PARLEY_SERVER_NAME=a.test", "PARLEY_APPSERVICES_DIR=" + dir}}
		err := p.run(t.Context(), append([]string{"appservice"}, args...))
		return out.String(), err
	}
	write("irc.yaml", "{id: irc, url: 'http://127.0.0.1:9', as_token: a, hs_token: b, sender_localpart: irc}")
	write("log.yaml", "{id: log, url: null, as_token: c, hs_token: d, sender_localpart: log}")
	want := "irc  @irc:a.test  http://127.0.0.1:9\nlog  @log:a.test  is not told anything\n"
	if got, err := check("check"); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	write("other.yaml", "{id: irc, url: null, as_token: a, hs_token: e, sender_localpart: other}")
	write("broken.yaml", "{id: ")
	if got, err := check("check"); err == nil || got != "" || !strings.Contains(err.Error(), "broken.yaml") {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := check(); err != nil || got != appserviceUsage {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := check("fly"); err == nil || !strings.Contains(err.Error(), `"appservice fly"`) {
		t.Errorf("got %v", err)
	}
	if _, err := check("check", "--fly"); err == nil {
		t.Error("a setting that there is not is no error")
	}
}
