package main

import (
	"regexp"
	"strings"
	"testing"

	"parley/internal/config"
	"parley/internal/server"
	"parley/internal/store/storetest"
)

// userScript is what somebody types, behind "$" what succeeds and behind "!" what
// fails, and what is printed then: all of it, and some of it. Behind "<" stands
// what the command reads.
const userScript = `
$ user list

< correct horse
$ user add alice --admin --password-stdin
@alice:a.test is there
< battery staple
$ user add @bob:a.test --password-stdin
@bob:a.test is there
$ user list
@alice:a.test  DATE  admin
@bob:a.test    DATE  

< another one
! user add alice --password-stdin
taken
< another one
! user add Alice! --password-stdin
user
< another one
! user add carol:a.test --password-stdin
@carol:a.test:a.test
< another one
! user add @carol:b.test --password-stdin
another server than a.test
<
! user add carol --password-stdin
the password is empty
! user add carol
no terminal
! user add
the name is missing
! user add --admin
the name is missing
! user add carol --keep-devices
--keep-devices
! user add carol --password-stdin extra
extra
! user fly carol
no command "user fly"

< new password
$ user passwd bob --password-stdin
@bob:a.test has a new password
< new password
! user passwd nobody --password-stdin
no account @nobody:a.test
! user deactivate bob
--yes
$ user deactivate bob --yes
@bob:a.test is deactivated
$ user list
@alice:a.test  DATE  admin
@bob:a.test    DATE  deactivated
$ user deactivate bob --yes --erase
@bob:a.test is deactivated
$ user list
@alice:a.test  DATE  admin
@bob:a.test    DATE  deactivated erased
! user list --server-name b.test
the data of a.test
`

func TestUserCommands(t *testing.T) {
	storetest.EachLocation(t, func(t *testing.T, location string) {
		settings := []string{"--server-name", "a.test", "--data-dir", t.TempDir()}
		if strings.HasPrefix(location, "postgres") {
			settings = append(settings, "--database", location)
		}
		play(t, userScript, settings)
	})
}

// The commands work while the server runs, and it notices what they have done.
func TestUserCommandsBesideTheServer(t *testing.T) {
	settings := []string{"--server-name", "a.test", "--data-dir", t.TempDir()}
	c, _, err := config.Load(nil, settings)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(t.Context(), server.Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	play(t, userScript, settings)
	if _, err := s.Accounts().CheckPassword(t.Context(), "@alice:a.test", "correct horse"); err != nil {
		t.Error(err)
	}
	if _, err := s.Accounts().CheckPassword(t.Context(), "@bob:a.test", "new password"); err == nil {
		t.Error("bob, who was deactivated, can log in")
	}
}

var date = regexp.MustCompile(`\d{4}-\d{2}-\d{2}`)

// play runs the commands of a script, each with the settings behind it unless it
// has some.
func play(t *testing.T, script string, settings []string) {
	t.Helper()
	input := ""
	lines := strings.Split(strings.TrimSpace(script), "\n")
	for i := 0; i < len(lines); {
		mark, rest := lines[i][:1], strings.TrimPrefix(lines[i][1:], " ")
		i++
		if mark == "<" {
			input = rest
			continue
		}
		var want []string
		for ; i < len(lines) && (lines[i] == "" || !strings.Contains("$!<", lines[i][:1])); i++ {
			if lines[i] != "" {
				want = append(want, lines[i]+"\n")
			}
		}
		args := strings.Fields(rest)
		for j := 0; j < len(settings); j += 2 {
			if !strings.Contains(rest, settings[j]) {
				args = append(args, settings[j], settings[j+1])
			}
		}
		var out, errors strings.Builder
		p := &program{in: strings.NewReader(input + "\n"), out: &out, err: &errors}
		err := p.run(t.Context(), args)
		got, wanted := date.ReplaceAllString(out.String(), "DATE"), strings.Join(want, "")
		switch {
		case mark == "$" && (err != nil || got != wanted || errors.Len() > 0):
			t.Errorf("%s: got %q, %v, %s, want %q", rest, got, err, &errors, wanted)
		case mark == "!" && (err == nil || !strings.Contains(err.Error(), strings.TrimSpace(wanted))):
			t.Errorf("%s: got %q, error %v, want an error with %q", rest, got, err, wanted)
		}
		input = ""
	}
}
