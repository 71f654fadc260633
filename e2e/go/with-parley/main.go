// Command with-parley runs a command while a server runs that it may use:
//
//	with-parley BINARY COMMAND [ARGUMENT...]
//
// PARLEY_E2E_URL tells the command where the server is. If that is set already,
// no server is started. Otherwise a second one runs too, at
// PARLEY_E2E_OTHER_URL, and the two federate; what PARLEY_E2E_CONTROL is for
// stands with launch.Control. The status is that of the command, or 1 if a
// server did not start or did not end well.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"parley/e2e/launch"
)

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "with-parley:", err)
	}
	os.Exit(status)
}

func run(args []string) (int, error) {
	if len(args) < 2 {
		return 2, errors.New("usage: with-parley BINARY COMMAND [ARGUMENT...]")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("PARLEY_E2E_URL") != "" {
		return play(ctx, args[1:])
	}
	servers, err := launch.StartPair(ctx, args[0])
	if err != nil {
		return 1, err
	}
	control := launch.Control(servers)
	defer control.Close()
	status, err := play(ctx, args[1:],
		"PARLEY_E2E_URL="+servers[0].URL, "PARLEY_E2E_OTHER_URL="+servers[1].URL, "PARLEY_E2E_CONTROL="+control.URL)
	if status != 0 {
		for i, server := range servers {
			fmt.Fprintf(os.Stderr, "with-parley: the log of server %d:\n%s\n", i, server.Log())
		}
	}
	if stopped := stopAll(servers); stopped != nil {
		return 1, errors.Join(err, stopped)
	}
	return status, err
}

func stopAll(servers []*launch.Server) error {
	var errs []error
	for _, server := range servers {
		errs = append(errs, server.Stop())
	}
	return errors.Join(errs...)
}

// play runs the command and returns its status.
func play(ctx context.Context, command []string, env ...string) (int, error) {
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Env = append(os.Environ(), env...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	err := c.Run()
	if ended, ok := errors.AsType[*exec.ExitError](err); ok && ended.Exited() {
		return ended.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("running %s: %w", command[0], err)
	}
	return 0, nil
}
