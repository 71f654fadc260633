package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sweepStep is how many contents are looked at together.
const sweepStep = 500

// A sweep removes contents, and pictures made of some, that no row names. The first
// look is at many of them at once; release looks again, with the lock.
type sweep struct {
	*files
	// known returns which of some contents are named by rows.
	known func([]Hash) (map[Hash]bool, error)
	// moved is how many contents were taken to the bucket.
	moved int
}

func (w *sweep) run(ctx context.Context) error {
	for _, kind := range [...]string{"files", "thumbnails"} {
		shards, err := os.ReadDir(filepath.Join(w.dir, kind))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sweeping media: %w", err)
		}
		for _, shard := range shards {
			err := w.local(ctx, kind, shard.Name(), func(_, unknown []Hash) error { return w.releaseAll(unknown) })
			if err != nil {
				return fmt.Errorf("sweeping media: %w", err)
			}
		}
	}
	if w.bucket == nil {
		return nil
	}
	for i := range 256 {
		if err := w.remote(ctx, fmt.Sprintf("%02x", i)); err != nil {
			return fmt.Errorf("sweeping media: %w", err)
		}
	}
	if w.moved > 0 {
		w.log.Info("files were taken to the bucket", "count", w.moved)
	}
	if err := w.bucket.Abort(ctx, time.Now().Add(-abortAge)); err != nil {
		return fmt.Errorf("sweeping media: %w", w.failed(err))
	}
	return nil
}

// local goes through a part of the directory, and tells which contents there rows
// name, and which not.
func (w *sweep) local(ctx context.Context, kind, shard string, do func(known, unknown []Hash) error) error {
	dir, err := os.Open(filepath.Join(w.dir, kind, shard))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	for ctx.Err() == nil {
		names, err := dir.Readdirnames(sweepStep)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var hashes []Hash
		for _, name := range names {
			if h, ok := ParseHash(shard + name); ok {
				hashes = append(hashes, h)
			}
		}
		if err := w.divide(hashes, do); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (w *sweep) divide(hashes []Hash, do func(known, unknown []Hash) error) error {
	there, err := w.known(hashes)
	if err != nil {
		return err
	}
	var known, unknown []Hash
	for _, h := range hashes {
		if there[h] {
			known = append(known, h)
		} else {
			unknown = append(unknown, h)
		}
	}
	return do(known, unknown)
}

func (w *sweep) releaseAll(hashes []Hash) error {
	for _, h := range hashes {
		gone, err := w.release(h, w.known)
		if err != nil {
			return err
		}
		if gone {
			w.counters.collected.Add(1)
		}
	}
	return nil
}

// remote goes through a part of the bucket: what no row names is removed, and what
// is not there and in the directory is stored.
func (w *sweep) remote(ctx context.Context, shard string) error {
	there := make(map[Hash]bool)
	for key, err := range w.bucket.List(ctx, "files/"+shard+"/") {
		if err != nil {
			return w.failed(err)
		}
		if h, ok := ParseHash(strings.ReplaceAll(strings.TrimPrefix(key, "files/"), "/", "")); ok {
			there[h] = true
		}
	}
	for part := range slices.Chunk(slices.Collect(maps.Keys(there)), sweepStep) {
		if err := w.divide(part, func(_, unknown []Hash) error { return w.releaseAll(unknown) }); err != nil {
			return err
		}
	}
	return w.local(ctx, "files", shard, func(known, _ []Hash) error {
		for _, h := range known {
			if there[h] {
				continue
			}
			if err := w.move(ctx, h); err != nil {
				return err
			}
		}
		return nil
	})
}

// move takes a content to the bucket.
func (w *sweep) move(ctx context.Context, h Hash) error {
	defer w.hold(h)()
	err := w.deposit(ctx, h, w.content(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was removed meanwhile
	}
	if err == nil {
		w.moved++
	}
	return err
}
