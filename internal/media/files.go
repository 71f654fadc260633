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
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"parley/internal/bucket"
	"parley/internal/durable"
)

// A Hash names a content: its SHA-256.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads a hash as String writes it.
func ParseHash(text string) (h Hash, ok bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(h) {
		return h, false
	}
	return Hash(raw), true
}

// errTooLarge: there is more than may be kept.
var errTooLarge = errors.New("the content is too large")

// files are the contents in a directory:
//
//	files/ab/cdef…          a content
//	thumbnails/ab/cdef…/…   pictures made of it
//	incoming/RUN-…          what has not come completely
//
// The directory belongs to one process. Where there is a bucket, the contents are
// there, and the directory has copies of some (shelf.go).
type files struct {
	dir    string
	bucket *bucket.Bucket // nil: the directory has all there is
	log    *slog.Logger
	// run tells what this process receives from what one before it has left.
	run   string
	locks [256]sync.Mutex // by the first byte of the hash

	mu   sync.Mutex
	made map[string]bool // directories that are known to be there
	held map[Hash]int    // by how many contents are held (hold)

	counters *counters

	// Where there is a bucket: by how many bytes the directory has grown since who
	// makes room was told through full, and after how many that is told.
	grown  atomic.Int64
	growth int64
	full   chan struct{}
	// resting is until when nothing is removed from the bucket, as that has failed.
	resting atomic.Int64
}

func newFiles(o Options, c *counters) *files {
	return &files{
		dir: o.Dir, bucket: o.Bucket, log: o.Log, run: rand.Text()[:8], made: make(map[string]bool), held: make(map[Hash]int),
		counters: c, growth: o.ShelfSize / 32, full: make(chan struct{}, 1),
	}
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
		if err := durable.SyncDir(filepath.Dir(parent)); err != nil {
			return err
		}
	}
	f.made[dir] = true
	return nil
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
func (f *files) keep(ctx context.Context, in *incoming, note func() error) error {
	defer in.discard()
	if f.bucket != nil {
		defer f.hold(in.hash)()
		if err := f.deposit(ctx, in.hash, in.path); err != nil {
			return err
		}
	}
	defer f.lock(in.hash)()
	if err := f.place(in); err != nil {
		return fmt.Errorf("keeping media: %w", err)
	}
	return note()
}

// place gives a content its name. The caller has the lock.
func (f *files) place(in *incoming) error {
	path := f.content(in.hash)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := f.makeDir(filepath.Dir(path))
	if err == nil {
		err = os.Rename(in.path, path)
	}
	if err == nil {
		err = durable.SyncDir(filepath.Dir(path))
	}
	if err != nil || f.bucket == nil {
		return err
	}
	f.counters.shelfBytes.Add(in.size)
	if f.grown.Add(in.size) > f.growth {
		f.grown.Store(0)
		select {
		case f.full <- struct{}{}:
		default: // somebody is about to make room
		}
	}
	return nil
}

// release removes a content that no row names any more, as known says while nobody
// can change that, and reports whether it did. What cannot be removed from the bucket
// is left for the sweep.
func (f *files) release(h Hash, known func([]Hash) (map[Hash]bool, error)) (gone bool, err error) {
	defer f.lock(h)()
	if f.isHeld(h) {
		return false, nil // who holds it names it, or releases it
	}
	if named, err := known([]Hash{h}); named[h] || err != nil {
		return false, err
	}
	if f.bucket != nil {
		f.withdraw(h)
	}
	// The pictures go first: what is left of them would have no content to be found by.
	err = os.RemoveAll(f.thumbnails(h))
	if err == nil {
		err = os.Remove(f.content(h))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("removing media: %w", err)
	}
	return true, nil
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
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
