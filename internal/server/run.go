package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// drainTime is how long requests may go on when the server is to stop.
const drainTime = 10 * time.Second

// A loop runs until its context ends.
type loop func(context.Context)

// hourly is a loop that does something every hour. That it fails is logged, and
// tried again an hour later.
func hourly(log *slog.Logger, what string, do func(context.Context) error) loop {
	return func(ctx context.Context) {
		ticker := time.NewTicker(time.Hour)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if err := do(ctx); err != nil && ctx.Err() == nil {
					log.Error(what, "err", err)
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// Run serves on the listeners until the context ends, and then stops as the
// package comment says. It closes the listeners. An error is that of a listener
// which failed before. Run can be called once.
func (s *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	lasting := context.WithoutCancel(ctx)
	stopJournal := start(lasting, s.journal.Run)
	stopLoops := start(lasting, s.loops...)
	err := s.serve(ctx, listeners)
	stopLoops()
	stopJournal()
	return err
}

// start runs loops, and returns what ends them and waits for that.
func start(ctx context.Context, loops ...loop) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, run := range loops {
		running.Go(func() { run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// serve answers requests until the context ends, or a listener fails, and those
// under way have been dealt with.
func (s *Server) serve(ctx context.Context, listeners []net.Listener) (err error) {
	requests, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	h := s.httpServer(requests)
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() {
			err := h.Serve(l)
			ended <- fmt.Errorf("serving on %s: %w", l.Addr(), err)
		}()
	}
	left := len(listeners)
	select {
	case <-ctx.Done():
	case err = <-ended:
		left--
	}
	s.stop()
	timeout, cancel := context.WithTimeout(requests, drainTime)
	defer cancel()
	if shutdownErr := h.Shutdown(timeout); errors.Is(shutdownErr, context.DeadlineExceeded) {
		s.log.Warn("requests that took too long are cut off")
		cutOff()
		h.Close()
	}
	for range left {
		<-ended
	}
	return err
}

func (s *Server) httpServer(requests context.Context) *http.Server {
	return &http.Server{
		Handler:           s.handler,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: 10 * time.Second,
		// No ReadTimeout: it would end requests that wait for longer than
		// that, see withBodyDeadline.
		WriteTimeout:   writeTime,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		// What net/http has to say is about clients: handshakes that fail and
		// the like.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}
