// Command parley is the Matrix server, and what goes with it: `parley help`
// lists the commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"parley/internal/config"
	"parley/internal/server"
	"parley/matrix/roomver"
)

func main() {
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ()}
	if err := p.run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "parley:", err)
		os.Exit(1)
	}
}

// A program is one run of the command, with what it has of the outside.
type program struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
}

const usage = `parley is a Matrix server.

  parley serve                 run the server
  parley user add NAME         make an account
  parley user passwd NAME      set the password of an account
  parley user list             list the accounts
  parley user deactivate NAME  close an account for good
  parley media fetch           bring all files back from the bucket
  parley appservice check      see whether registrations of bridges are right
  parley bench SCENARIO        put load on a server, this one or another
  parley demo                  play a netsplit of one room in memory
  parley version               print the version and the room versions it knows
  parley help [COMMAND]        say more of a command, and list the settings

To begin, run "parley serve" and follow what it says. Nothing needs to be
configured to try it on this machine; "parley help serve" has the settings.
`

// run does what the arguments say.
func (p *program) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return p.print(usage)
	}
	name, rest := args[0], args[1:]
	switch name {
	case "serve":
		return p.serve(ctx, rest)
	case "user":
		return p.user(ctx, rest)
	case "media":
		return p.media(ctx, rest)
	case "appservice":
		return p.appservice(rest)
	case "bench":
		return bench(rest, p.out, p.err)
	case "demo", "version":
		if len(rest) > 0 {
			return fmt.Errorf("%s takes no arguments", name)
		}
		if name == "demo" {
			return demo(p.out)
		}
		return version(p.out)
	case "help", "--help", "-h":
		return p.help(rest)
	}
	return fmt.Errorf("there is no command %q, see parley help", name)
}

func (p *program) help(args []string) error {
	switch strings.Join(args, " ") {
	case "":
		return p.print(usage)
	case "serve":
		return p.print(serveUsage())
	case "user", "user add", "user passwd", "user list", "user deactivate":
		return p.print(userUsage())
	case "media", "media fetch":
		return p.print(mediaUsage)
	case "appservice", "appservice check":
		return p.print(appserviceUsage)
	case "bench":
		return p.print(benchUsage)
	case "demo", "version", "help":
		return p.print(usage)
	}
	return fmt.Errorf("there is no command %q, see parley help", strings.Join(args, " "))
}

// settings reads the settings of a command that ends by itself. If what they ask for is
// help, that is its usage; ok is false then, too.
func (p *program) settings(args []string, usage string) (settings config.Config, ok bool, err error) {
	settings, warnings, err := config.Load(p.environ, args)
	if errors.Is(err, config.ErrHelp) {
		return settings, false, p.print(usage)
	}
	if err != nil {
		return settings, false, err
	}
	for _, w := range warnings {
		fmt.Fprintln(p.err, "warning:", w)
	}
	return settings, true, nil
}

func (p *program) print(text string) error {
	_, err := io.WriteString(p.out, text)
	return err
}

func version(out io.Writer) error {
	var rooms, unstable []string
	for r := range roomver.Known() {
		if r.Unstable {
			unstable = append(unstable, string(r.Version))
		} else {
			rooms = append(rooms, string(r.Version))
		}
	}
	_, err := fmt.Fprintf(out, "parley %s\nroom versions %s, default %s\nunstable room versions %s\n",
		server.Version(), strings.Join(rooms, " "), roomver.Default, strings.Join(unstable, " "))
	return err
}
