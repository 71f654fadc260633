package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// write makes a file and gives it the mode whatever the umask is.
func write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	secret := write(t, "secret", "s3cret\r\n", 0o600)
	url := write(t, "url", "postgres://u:pw@h/d\n", 0o600)
	file := write(t, "parley.yaml", "listen: :1\ndata_dir: a\nregistration.shared_secret_file: "+secret, 0o644)
	got, warnings, err := Load([]string{"PARLEY_DATA_DIR=b"}, []string{"--config", file, "--database-file", url})
	if err != nil {
		t.Fatal(err)
	}
	want := changed(func(c *Config) {
		c.Listen, c.DataDir, c.Database, c.Registration.SharedSecret = ":1", "b", "postgres://u:pw@h/d", "s3cret"
	})
	if got != want || len(warnings) != 0 {
		t.Errorf("got  %+v with warnings %q\nwant %+v", got, warnings, want)
	}
}

func TestLoadWithoutFiles(t *testing.T) {
	got, warnings, err := Load(nil, nil)
	if err != nil || got != Defaults() || len(warnings) != 0 {
		t.Errorf("got %+v, %q, %v", got, warnings, err)
	}
	if _, _, err := Load(nil, []string{"--config", "missing.yaml", "--help"}); !errors.Is(err, ErrHelp) {
		t.Errorf("--help: got %v", err)
	}
}

func TestLoadWarnsOfReadableSecrets(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // modes say nothing there
	}
	for _, test := range []struct {
		mode os.FileMode
		warn bool
	}{{0o600, false}, {0o400, false}, {0o640, true}, {0o604, true}, {0o644, true}} {
		path := write(t, "secret", "x", test.mode)
		_, warnings, err := Load([]string{"PARLEY_REGISTRATION_SHARED_SECRET_FILE=" + path}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if test.warn {
			want = fmt.Sprintf("[PARLEY_REGISTRATION_SHARED_SECRET_FILE: the file %q has mode %04o, so others can read it; 0600 is advised]", path, test.mode)
		}
		if got := strings.TrimPrefix(fmt.Sprint(warnings), "[]"); got != want {
			t.Errorf("mode %o: got %s, want %s", test.mode, got, want)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	for _, test := range []struct {
		name    string
		environ []string
		args    []string
		want    string
	}{
		{
			name: "a missing configuration file is the only error",
			args: []string{"--config", missing, "--tls-key", "k"}, want: "--config: open " + missing + ": no such file or directory",
		},
		{name: "a directory for a configuration file", args: []string{"--config", dir}, want: "--config: read " + dir + ": is a directory"},
		{
			name: "a configuration file that is too long",
			args: []string{"--config", write(t, "c", strings.Repeat("\n", maxFileSize+1), 0o600)}, want: "c: has more than 65536 bytes",
		},
		{
			name: "missing files of secrets are reported with what else is wrong",
			args: []string{"--database-file", missing, "--listen", "x"}, environ: []string{"PARLEY_REGISTRATION_SHARED_SECRET_FILE=" + missing},
			want: "--listen: \"x\" is not HOST:PORT: missing port in address\n" +
				"--database-file: open " + missing + ": no such file or directory\n" +
				"PARLEY_REGISTRATION_SHARED_SECRET_FILE: open " + missing + ": no such file or directory",
		},
		{name: "an empty secret", args: []string{"--database-file", write(t, "empty", "\n", 0o600)}, want: "empty\" is empty"},
		{
			name: "a secret of two lines", environ: []string{"PARLEY_REGISTRATION_SHARED_SECRET_FILE=" + write(t, "two", "s3cret\nb", 0o600)},
			want: "two\" has a line break or another control character in it",
		},
		{name: "a wrong secret", args: []string{"--database-file", write(t, "wrong", "mysql://u:s3cret@h/d", 0o600)}, want: "wrong\" does not begin with postgres://"},
		{name: "a secret that is too long", args: []string{"--database-file", write(t, "long", strings.Repeat("x", maxFileSize+1), 0o600)}, want: "long\" has more than 65536 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := Load(test.environ, test.args)
			if err == nil || !strings.HasSuffix(err.Error(), test.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	c := Config{Database: "s3cret"}
	shown := fmt.Sprintf("%v %+v %#v %s %q %x %d", c, c, c, c.Database, c.Database, c.Database, c.Database)
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	shown += string(encoded)
	if strings.Contains(shown, "s3") || strings.Contains(shown, fmt.Sprintf("%x", "s3")) || strings.Count(shown, "(secret)") != 8 {
		t.Errorf("got %s", shown)
	}
}
