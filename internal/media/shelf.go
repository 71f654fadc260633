package media

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parley/internal/bucket"
	"parley/internal/store"
	"parley/matrix/mxerr"
)

// Where there is a bucket, it has every content, and the directory is a shelf in
// front of it. A content goes into the bucket before its row is written and is held
// meanwhile, so that whoever finds no row that names it does not remove it. The row is
// what counts: an object without one is removed by the sweep, which also takes
// contents to the bucket that are from before there was one.

const (
	// withdrawTime is how long removing an object may take, and withdrawRest for how long
	// none is removed after that has failed.
	withdrawTime = 30 * time.Second
	withdrawRest = time.Minute
	// depositTime is how long storing an object may take, beside a second for each
	// depositRate bytes.
	depositTime = time.Minute
	depositRate = 256 << 10
	// abortAge is after how long what was begun to be stored is given up.
	abortAge = 24 * time.Hour
	// largeShare is the part of the shelf that one content may take. What is larger is
	// read from the bucket each time.
	largeShare = 8
	// touchAge is how exactly it is known when a file on the shelf was last used.
	touchAge = time.Hour
)

// errUnreachable: the bucket fails.
var errUnreachable = errors.New("the bucket of media fails")

// unreachable says to a client that the bucket fails, and to the operator why. That
// nobody waits any more is no fault of the bucket; that its time is over is.
func (f *files) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	f.counters.bucketFailures.Add(1)
	f.log.Warn("the bucket of media fails", "err", err)
	return mxerr.New(mxerr.Unknown, "The files of this server cannot be reached at present").
		WithStatus(http.StatusBadGateway).Wrap(fmt.Errorf("%w: %w", errUnreachable, err))
}

// failed counts what fails in the bucket that no client waits for.
func (f *files) failed(err error) error {
	f.counters.bucketFailures.Add(1)
	return err
}

// keyOf is where a content is in the bucket.
func keyOf(h Hash) string {
	name := h.String()
	return "files/" + name[:2] + "/" + name[2:]
}

// hold keeps a content from being released by others.
func (f *files) hold(h Hash) (letGo func()) {
	defer f.lock(h)() // a release that goes on is waited for
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[h]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.held[h]--; f.held[h] == 0 {
			delete(f.held, h)
		}
	}
}

func (f *files) isHeld(h Hash) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held[h] > 0
}

// deposit stores a content in the bucket, unless it is there. The caller holds it.
func (f *files) deposit(ctx context.Context, h Hash, path string) error {
	there, err := f.bucket.Has(ctx, keyOf(h))
	if err != nil {
		return f.unreachable(ctx, err)
	}
	if there {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, depositTime+time.Duration(info.Size()/depositRate)*time.Second)
	defer cancel()
	if err := f.bucket.Put(ctx, keyOf(h), file, info.Size()); err != nil {
		return f.unreachable(ctx, err)
	}
	return nil
}

// withdraw removes a content from the bucket, or leaves that to the sweep: what fails
// with one would take as long with each of a thousand.
func (f *files) withdraw(h Hash) {
	if time.Now().UnixNano() < f.resting.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), withdrawTime)
	defer cancel()
	if err := f.bucket.Remove(ctx, keyOf(h)); err != nil {
		f.resting.Store(time.Now().Add(withdrawRest).UnixNano())
		f.unreachable(ctx, err)
	}
}

// open opens a content that is in the directory.
func (f *files) open(h Hash) (*os.File, error) {
	file, err := os.Open(f.content(h))
	if err == nil && f.bucket != nil {
		f.touch(file)
	}
	return file, err
}

// touch notes that a file on the shelf is used. That this fails only makes it look
// older than it is.
func (f *files) touch(file *os.File) {
	if info, err := file.Stat(); err == nil && time.Since(info.ModTime()) > touchAge {
		os.Chtimes(file.Name(), time.Time{}, time.Now())
	}
}

// local opens the content of media as a file, and gets it from the bucket first if
// it is not in the directory.
func (s *Store) local(ctx context.Context, m *Media) (*os.File, error) {
	file, err := s.files.open(m.Hash)
	if s.files.bucket == nil || !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	err = fly(ctx, s, &s.brought, m.Hash, fetchTime, func(ctx context.Context) error { return s.files.bring(ctx, m.Hash, m.Size) })
	if err != nil {
		return nil, err
	}
	return s.files.open(m.Hash)
}

// bring puts a content on the shelf.
func (f *files) bring(ctx context.Context, h Hash, size int64) error {
	object := f.bucket.Get(ctx, keyOf(h), size)
	defer object.Close()
	in, err := f.receive(object, size)
	switch {
	case errors.Is(err, bucket.ErrNotFound):
		return fs.ErrNotExist
	case err != nil:
		return f.unreachable(ctx, err)
	}
	defer in.discard()
	if in.hash != h {
		return f.unreachable(ctx, fmt.Errorf("%s has another content, %s", keyOf(h), in.hash))
	}
	defer f.lock(h)()
	return f.place(in)
}

// FetchAll puts all contents into the directory, and returns how many were not there.
func (s *Store) FetchAll(ctx context.Context) (count int, err error) {
	for last := []byte{}; ; {
		var list []Media
		err := s.db.View(ctx, func(tx *store.Tx) error {
			list, err = store.Collect(tx.Query("SELECT hash, min(size) FROM media WHERE hash > $1 GROUP BY hash ORDER BY hash LIMIT $2", last, sweepStep),
				func(from func(...any) error) (m Media, err error) {
					var hash []byte
					err = from(&hash, &m.Size)
					copy(m.Hash[:], hash)
					return m, err
				})
			return err
		})
		if err != nil {
			return count, fmt.Errorf("listing media: %w", err)
		}
		for _, m := range list {
			if _, err := os.Stat(s.files.content(m.Hash)); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
			err := s.files.bring(ctx, m.Hash, m.Size)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				s.o.Log.Warn("the content of media is not in the bucket", "hash", m.Hash)
				continue
			case err != nil:
				return count, err
			}
			count++
		}
		if len(list) < sweepStep {
			return count, nil
		}
		last = list[len(list)-1].Hash[:]
	}
}

// directly is a content of media as it comes from the bucket.
func (s *Store) directly(ctx context.Context, m *Media) (*bucket.Object, error) {
	there, err := s.files.bucket.Has(ctx, keyOf(m.Hash))
	switch {
	case err != nil:
		return nil, s.files.unreachable(ctx, err)
	case !there:
		return nil, fs.ErrNotExist
	}
	return s.files.bucket.Get(ctx, keyOf(m.Hash), m.Size), nil
}

// onShelf is a file in the directory.
type onShelf struct {
	path string
	hash Hash // of the content it is, zero for a picture
	size int64
	used time.Time
}

// trim removes from the directory what was not used for longest, until it takes no
// more than it may. What the bucket does not have stays, so no lock is needed: who
// finds nothing here gets it from there.
func (f *files) trim(ctx context.Context, most int64) error {
	var all []onShelf
	var total int64
	for _, kind := range [...]string{"files", "thumbnails"} {
		root := filepath.Join(f.dir, kind)
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				return ctx.Err()
			}
			var info fs.FileInfo
			if err == nil {
				info, err = e.Info()
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it was there a moment ago, or nothing ever was
			}
			if err != nil {
				return err
			}
			one := onShelf{path: path, size: info.Size(), used: info.ModTime()}
			if kind == "files" {
				one.hash, _ = ParseHash(strings.ReplaceAll(path[len(root)+1:], string(filepath.Separator), ""))
			}
			all = append(all, one)
			total += one.size
			return nil
		})
		if err != nil {
			return fmt.Errorf("looking for what was not used: %w", err)
		}
	}
	defer func() { f.counters.shelfBytes.Store(total) }()
	if total <= most {
		return nil
	}
	slices.SortFunc(all, func(a, b onShelf) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path)) })
	for _, one := range all {
		if total <= most-most/10 {
			return nil
		}
		if one.hash != (Hash{}) {
			there, err := f.bucket.Has(ctx, keyOf(one.hash))
			if err != nil {
				return f.failed(err)
			}
			if !there {
				continue
			}
		}
		if err := os.Remove(one.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing what was not used: %w", err)
		}
		total -= one.size
	}
	return nil
}
