package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"parley/internal/server"
)

const mediaUsage = `usage: parley media fetch [settings]

Brings all files from the bucket into the directory for them (media.dir), so that
the server can go on without the bucket. The bucket is left as it is. The settings
are those of the server, with the bucket; see "parley help serve". The server must
not run meanwhile, and has to be started without bucket.name afterwards: with it,
it would remove again what goes beyond bucket.local_size.

In the other direction there is nothing to do: a server that is started with a
bucket takes there by itself what it has.
`

// media does what the command for files says.
func (p *program) media(ctx context.Context, args []string) (err error) {
	if len(args) == 0 || args[0] != "fetch" {
		if len(args) == 0 || args[0] == "--help" || args[0] == "-h" {
			return p.print(mediaUsage)
		}
		return fmt.Errorf("%q is nothing to do with media, see parley help media", args[0])
	}
	settings, ok, err := p.settings(args[1:], mediaUsage)
	if !ok {
		return err
	}
	s, err := server.New(ctx, server.Options{Config: settings, Log: p.newLog(slog.LevelWarn)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	count, err := s.FetchMedia(ctx)
	if err != nil {
		return fmt.Errorf("after %d files: %w", count, err)
	}
	return p.print(fmt.Sprintf("%d files were fetched\n", count))
}
