package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"parley/internal/account"
	"parley/internal/config"
	"parley/internal/server"
	"parley/matrix/id"
)

func userUsage() string {
	return `usage: parley user add NAME [--admin] [--password-stdin] [settings]
       parley user passwd NAME [--password-stdin] [--keep-devices] [settings]
       parley user list [settings]
       parley user deactivate NAME --yes [--erase] [settings]

Manages the accounts of a server, whether it runs or not. NAME is that before
the colon, alice, or the whole ID, @alice:example.org. The settings are those of
the server, by which its data is found: see "parley help serve".

  add         makes an account
  passwd      sets a password and logs all devices out
  list        lists the accounts
  deactivate  closes an account for good; its name is not given out again, and
              the user leaves all rooms: within a minute, if the server runs,
              or when it starts

  --admin
      The account administers the server.
  --password-stdin
      The password is the first line of standard input. Without this flag it is
      asked for on the terminal.
  --keep-devices
      Devices stay logged in.
  --yes
      Says that deactivate is meant: it cannot be undone.
  --erase
      What the user said is not shown to people who join a room afterwards, and
      the profile is removed.
`
}

// user does what one of the commands for accounts says.
func (p *program) user(ctx context.Context, args []string) error {
	c, err := parseUser(args)
	if err != nil {
		return fmt.Errorf("%w, see parley help user", err)
	}
	if c.verb == "" {
		return p.print(userUsage())
	}
	settings, ok, err := p.settings(c.settings, userUsage())
	if !ok {
		return err
	}
	user, err := userID(c.name, settings.ServerName)
	if err != nil && c.verb != "list" {
		return err
	}
	password := ""
	if c.verb == "add" || c.verb == "passwd" {
		if password, err = p.password(c.has("--password-stdin")); err != nil {
			return err
		}
	}
	return p.beside(ctx, settings, func(s *server.Server) error {
		return p.changeUser(ctx, s.Accounts(), c, user, password)
	})
}

// beside calls f with a server that may be running in another process, too.
func (p *program) beside(ctx context.Context, settings config.Config, f func(*server.Server) error) (err error) {
	s, err := server.New(ctx, server.Options{Config: settings, Log: p.newLog(slog.LevelWarn), Beside: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // commits what f submits
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	return f(s)
}

func (p *program) changeUser(ctx context.Context, a *account.Accounts, c userCommand, user id.UserID, password string) error {
	switch c.verb {
	case "list":
		return p.listUsers(ctx, a)
	case "deactivate":
		if err := a.Deactivate(ctx, user, c.has("--erase")); err != nil {
			return err
		}
		return p.print(fmt.Sprintf("%s is deactivated\n", user))
	}
	hash, err := a.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	if c.verb == "passwd" {
		lose := func(id.DeviceID) bool { return false }
		if c.has("--keep-devices") {
			lose = nil
		}
		if err := a.SetPassword(ctx, user, hash, lose); err != nil {
			return err
		}
		return p.print(fmt.Sprintf("%s has a new password\n", user))
	}
	made, err := a.Create(ctx, account.NewAccount{Localpart: user.Localpart(), Password: hash, Admin: c.has("--admin")})
	if err != nil {
		return err
	}
	return p.print(fmt.Sprintf("%s is there\n", made.UserID))
}

// listUsers prints a line for each account: its ID, when it was made, and what
// is special about it.
func (p *program) listUsers(ctx context.Context, a *account.Accounts) error {
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for last := id.UserID(""); ; {
		list, err := a.List(ctx, last, 1000)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return table.Flush()
		}
		for _, i := range list {
			fmt.Fprintf(table, "%s\t%s\t%s\n", i.UserID, i.Created.UTC().Format("2006-01-02"), strings.Join(kinds(i), " "))
		}
		last = list[len(list)-1].UserID
	}
}

func kinds(i account.Info) []string {
	list := []string{}
	for _, kind := range []struct {
		is   bool
		word string
	}{
		{i.Admin, "admin"}, {i.Guest, "guest"}, {i.Locked, "locked"},
		{i.Suspended, "suspended"}, {i.Deactivated, "deactivated"}, {i.Erased, "erased"},
	} {
		if kind.is {
			list = append(list, kind.word)
		}
	}
	return list
}

// A userCommand is the command line of a command for accounts.
type userCommand struct {
	verb     string // "" if help is wanted
	name     string
	flags    []string
	settings []string // what is for the configuration
}

func (c userCommand) has(flag string) bool { return slices.Contains(c.flags, flag) }

// userFlags says which flags the commands have beside the settings.
var userFlags = map[string][]string{
	"add":        {"--admin", "--password-stdin"},
	"passwd":     {"--password-stdin", "--keep-devices"},
	"list":       {},
	"deactivate": {"--yes", "--erase"},
}

func parseUser(args []string) (c userCommand, err error) {
	if len(args) == 0 || args[0] == "--help" || args[0] == "-h" {
		return c, nil
	}
	c.verb, args = args[0], args[1:]
	flags, known := userFlags[c.verb]
	if !known {
		return c, fmt.Errorf("there is no command \"user %s\"", c.verb)
	}
	if c.verb != "list" {
		if len(args) == 0 || strings.HasPrefix(args[0], "-") {
			if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
				return userCommand{}, nil
			}
			return c, fmt.Errorf("user %s: the name is missing", c.verb)
		}
		c.name, args = args[0], args[1:]
	}
	for _, arg := range args {
		if slices.Contains(flags, arg) {
			c.flags = append(c.flags, arg)
		} else {
			c.settings = append(c.settings, arg)
		}
	}
	if c.verb == "deactivate" && !c.has("--yes") {
		return c, errors.New("user deactivate: this cannot be undone, say --yes if it is meant")
	}
	return c, nil
}

// userID is the user that is meant by a name, which may be the whole ID.
func userID(name string, server id.ServerName) (id.UserID, error) {
	if !strings.HasPrefix(name, "@") {
		name = "@" + name + ":" + string(server)
	}
	user, err := id.ParseUserID(name)
	if err != nil {
		return "", err
	}
	if user.Server() != server {
		return "", fmt.Errorf("%s is a user of another server than %s", user, server)
	}
	return user, nil
}

// maxPasswordLine is more than a password may be long.
const maxPasswordLine = 4096

// password reads a password from standard input, or asks for it twice.
func (p *program) password(fromInput bool) (string, error) {
	if fromInput {
		line, err := bufio.NewReader(io.LimitReader(p.in, maxPasswordLine)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		return notEmpty(strings.TrimRight(line, "\r\n"))
	}
	terminal, ok := p.in.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return "", errors.New("there is no terminal to ask for the password: use --password-stdin")
	}
	first, err := p.ask(terminal, "Password: ")
	if err != nil {
		return "", err
	}
	again, err := p.ask(terminal, "Again: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("these were two different passwords")
	}
	return notEmpty(first)
}

func (p *program) ask(terminal *os.File, prompt string) (string, error) {
	fd := int(terminal.Fd())
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	defer onInterrupt(func() {
		// Or the terminal would go on hiding what is typed.
		term.Restore(fd, state)
		fmt.Fprintln(p.err)
		os.Exit(130)
	})()
	fmt.Fprint(p.err, prompt)
	answer, err := term.ReadPassword(fd)
	fmt.Fprintln(p.err)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return string(answer), nil
}

// onInterrupt calls f at Ctrl-C, until what it returns is called.
func onInterrupt(f func()) (stop func()) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	done := make(chan struct{})
	go func() {
		select {
		case <-interrupted:
			f()
		case <-done:
		}
	}()
	return func() {
		signal.Stop(interrupted)
		close(done)
	}
}

func notEmpty(password string) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty")
	}
	return password, nil
}
