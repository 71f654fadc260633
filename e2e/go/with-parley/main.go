// Command with-parley runs a command while a server runs that it may use:
//
//	with-parley BINARY COMMAND [ARGUMENT...]
//
// PARLEY_E2E_URL tells the command where the server is. If that is set already,
// no server is started. The status is that of the command, or 1 if the server
// did not start or did not end well.
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
	server, err := launch.Start(ctx, args[0])
	if err != nil {
		return 1, err
	}
	status, err := play(ctx, args[1:], "PARLEY_E2E_URL="+server.URL)
	if status != 0 {
		fmt.Fprintf(os.Stderr, "with-parley: the server's log:\n%s\n", server.Log())
	}
	if stopped := server.Stop(); stopped != nil {
		return 1, errors.Join(err, stopped)
	}
	return status, err
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
