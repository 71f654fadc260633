package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"parley/internal/config"
	"parley/internal/server"
	"parley/internal/termlog"
)

func serveUsage() string {
	return `usage: parley serve [flags]

Runs the server until it is sent SIGTERM or SIGINT (Ctrl-C), and ends within ten
seconds then; a second signal ends it at once. SIGHUP has it read the
registrations of application services anew. Without settings it is called
localhost and is reached from this machine only, at http://127.0.0.1:8008.

The log goes to standard error: for people where that is a terminal, as lines
of JSON elsewhere.

  --debug
      Logs every request, and why it was refused.
` + config.Help()
}

// serve runs the server.
func (p *program) serve(ctx context.Context, args []string) (err error) {
	level := slog.LevelInfo
	if i := slices.Index(args, "--debug"); i >= 0 {
		args, level = slices.Delete(slices.Clone(args), i, i+1), slog.LevelDebug
	}
	settings, warnings, err := config.Load(p.environ, args)
	if errors.Is(err, config.ErrHelp) {
		return p.print(serveUsage())
	}
	if err != nil {
		return err
	}
	log := p.newLog(level)
	for _, w := range warnings {
		log.Warn(string(w))
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, func() {
		stop() // so that a second signal does what it does by itself
		log.Info("stopping")
	})

	s, err := server.New(ctx, server.Options{Config: settings, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	listeners, err := s.Listen(ctx)
	if err != nil {
		return err
	}
	token, err := s.Accounts().EnsureFirstToken(ctx)
	if err != nil {
		return err
	}
	if token != "" {
		log.Info("there is no account yet: whoever registers with this token first is the administrator", "token", token)
	}
	defer reloadOnHangup(ctx, s, log)()
	return s.Run(ctx, listeners...)
}

// reloadOnHangup reads anew what can be without a restart whenever the process is
// sent SIGHUP, until stop is called.
func reloadOnHangup(ctx context.Context, s *server.Server, log *slog.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hangups {
			if err := s.ReloadAppServices(ctx); err != nil {
				log.Error("the application services stay as they were", "err", err)
				continue
			}
			log.Info("the application services were read anew")
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
		<-done
	}
}

// newLog returns the log for what is at the other end: a person, or a machine.
func (p *program) newLog(level slog.Level) *slog.Logger {
	if f, ok := p.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		color := p.variable("NO_COLOR") == "" && p.variable("TERM") != "dumb"
		return slog.New(termlog.New(f, termlog.Options{Level: level, Color: color}))
	}
	return slog.New(slog.NewJSONHandler(p.err, &slog.HandlerOptions{Level: level}))
}

// variable is an environment variable, "" for none. Settings are for package
// config to read.
func (p *program) variable(name string) string {
	for _, entry := range p.environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
