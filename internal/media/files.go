package media

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A Hash names a content: its SHA-256.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// errTooLarge: there is more than may be kept.
var errTooLarge = errors.New("the content is too large")

// files are the contents in a directory:
//
//	files/ab/cdef…          a content
//	thumbnails/ab/cdef…/…   pictures made of it
//	incoming/RUN-…          what has not come completely
//
// The directory belongs to one process.
type files struct {
	dir string
	// run tells what this process receives from what one before it has left.
	run   string
	locks [256]sync.Mutex // by the first byte of the hash

	mu   sync.Mutex
	made map[string]bool // directories that are known to be there
}

func newFiles(dir string) *files {
	return &files{dir: dir, run: rand.Text()[:8], made: make(map[string]bool)}
}

func (f *files) path(kind string, h Hash) string {
	name := h.String()
	return filepath.Join(f.dir, kind, name[:2], name[2:])
}

func (f *files) content(h Hash) string    { return f.path("files", h) }
func (f *files) thumbnails(h Hash) string { return f.path("thumbnails", h) }

func (f *files) lock(h Hash) (unlock func()) {
	f.locks[h[0]].Lock()
	return f.locks[h[0]].Unlock
}

// makeDir makes a directory that will stay, durably.
func (f *files) makeDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made[dir] {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for parent := dir; len(parent) >= len(f.dir); parent = filepath.Dir(parent) {
		if err := syncDir(filepath.Dir(parent)); err != nil {
			return err
		}
	}
	f.made[dir] = true
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// incoming is a content that has come completely and has no name yet.
type incoming struct {
	path string
	hash Hash
	size int64
}

// discard removes what is not wanted. After it was kept that does nothing.
func (in *incoming) discard() { os.Remove(in.path) }

const bufferSize = 256 << 10

// receive writes a content to the disk as it comes. What has more bytes than the
// limit ends in errTooLarge; an error of reading is returned as it is.
func (f *files) receive(body io.Reader, limit int64) (*incoming, error) {
	dir := filepath.Join(f.dir, "incoming")
	if err := f.makeDir(dir); err != nil {
		return nil, fmt.Errorf("receiving media: %w", err)
	}
	file, err := os.CreateTemp(dir, f.run+"-*")
	if err != nil {
		return nil, fmt.Errorf("receiving media: %w", err)
	}
	in := &incoming{path: file.Name()}
	err = in.copy(file, body, limit)
	if closed := file.Close(); err == nil && closed != nil {
		err = fmt.Errorf("receiving media: %w", closed)
	}
	if err != nil {
		in.discard()
		return nil, err
	}
	return in, nil
}

// flushStep is after how many bytes the disk begins to write, while more comes.
const flushStep = 32 << 20

// copy reads the content, and syncs what was written.
func (in *incoming) copy(file *os.File, body io.Reader, limit int64) error {
	digest := sha256.New()
	buffer := make([]byte, bufferSize)
	flush := flusher{file: file}
	defer flush.wait()
	for {
		n, err := body.Read(buffer)
		if in.size += int64(n); in.size > limit {
			return errTooLarge
		}
		digest.Write(buffer[:n])
		if _, failed := file.Write(buffer[:n]); failed != nil {
			return fmt.Errorf("receiving media: %w", failed)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		flush.upTo(in.size)
	}
	digest.Sum(in.hash[:0])
	// An error of a sync is told once.
	if err := errors.Join(flush.wait(), file.Sync()); err != nil {
		return fmt.Errorf("receiving media: %w", err)
	}
	return nil
}

// flusher lets the disk write what has come, beside what comes.
type flusher struct {
	file    *os.File
	size    int64      // up to which it was told to
	running chan error // nil: nothing is being written
	err     error
}

func (f *flusher) upTo(size int64) {
	if size-f.size < flushStep || f.running != nil && len(f.running) == 0 {
		return
	}
	f.wait()
	f.size, f.running = size, make(chan error, 1)
	done := f.running
	go func() { done <- f.file.Sync() }()
}

// wait returns the errors that there were.
func (f *flusher) wait() error {
	if f.running != nil {
		f.err = errors.Join(f.err, <-f.running)
		f.running = nil
	}
	return f.err
}

// keep gives a content its name, unless there is one of it already, and then has
// the row written.
func (f *files) keep(in *incoming, note func() error) error {
	defer in.discard()
	defer f.lock(in.hash)()
	path := f.content(in.hash)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		err = f.makeDir(filepath.Dir(path))
		if err == nil {
			err = os.Rename(in.path, path)
		}
		if err == nil {
			err = syncDir(filepath.Dir(path))
		}
		if err != nil {
			return fmt.Errorf("keeping media: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("keeping media: %w", err)
	}
	return note()
}

// release removes a content that no row names any more, as referred says while
// nobody can change that.
func (f *files) release(h Hash, referred func(Hash) (bool, error)) error {
	defer f.lock(h)()
	if used, err := referred(h); used || err != nil {
		return err
	}
	// The pictures go first: what is left of them would have no content to be found by.
	err := os.RemoveAll(f.thumbnails(h))
	if err == nil {
		err = os.Remove(f.content(h))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing media: %w", err)
	}
	return nil
}

// clean removes what earlier processes had begun to receive.
func (f *files) clean() error {
	dir := filepath.Join(f.dir, "incoming")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), f.run+"-") {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// sweepStep is how many contents are looked at together.
const sweepStep = 500

// sweep removes contents, and pictures made of some, that no row names. The first
// look is at many of them at once; release looks again, with the lock.
func (f *files) sweep(ctx context.Context, known func([]Hash) (map[Hash]bool, error), referred func(Hash) (bool, error)) error {
	for _, kind := range [...]string{"files", "thumbnails"} {
		shards, err := os.ReadDir(filepath.Join(f.dir, kind))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sweeping media: %w", err)
		}
		for _, shard := range shards {
			if err := f.sweepShard(ctx, kind, shard.Name(), known, referred); err != nil {
				return fmt.Errorf("sweeping media: %w", err)
			}
		}
	}
	return nil
}

func (f *files) sweepShard(ctx context.Context, kind, shard string, known func([]Hash) (map[Hash]bool, error), referred func(Hash) (bool, error)) error {
	dir, err := os.Open(filepath.Join(f.dir, kind, shard))
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
			var h Hash
			if raw, err := hex.DecodeString(shard + name); err == nil && len(raw) == len(h) {
				hashes = append(hashes, Hash(raw))
			}
		}
		there, err := known(hashes)
		if err != nil {
			return err
		}
		for _, h := range hashes {
			if there[h] {
				continue
			}
			if err := f.release(h, referred); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}
