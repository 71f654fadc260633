package media

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"parley/internal/bucket"
	"parley/internal/remote"
	"parley/internal/store"
	"parley/matrix/id"
)

// Options of a Store.
type Options struct {
	// Server is the name of this server.
	Server id.ServerName
	// Dir is where the contents are. It belongs to this process.
	Dir string
	// MaxUpload is how many bytes users may upload at once, and MaxRemote how many
	// bytes media of others may have.
	MaxUpload, MaxRemote int64
	// UserQuota is how many bytes a user may have uploaded in all; 0: any number.
	UserQuota int64
	// CacheSize is how many bytes may be kept of what can be had again, and a few per
	// cent more for a while.
	CacheSize int64
	// Bucket is where the contents are; nil: Dir has all of them. Otherwise that has
	// copies of some, and pictures, which take ShelfSize bytes.
	Bucket    *bucket.Bucket
	ShelfSize int64
	// Redirect sends who asks for a content to the bucket, if it may be sent on.
	Redirect bool
	// Public lets everybody have what comes from now on without an access token.
	Public bool
	// Icons are what everybody may have all the same: what people see who have not logged
	// in yet.
	Icons []id.ContentURI
	// Vips and FFmpeg are the programs that draw what nothing here decodes; empty: none.
	Vips, FFmpeg string
	// Previews says whether there are previews of pages of the web.
	Previews bool
	// Servers are those that media of others come from, and Web is everything else.
	Servers *remote.Servers
	Web     *remote.Client
	Log     *slog.Logger
}

// Store is the media of a server. It is safe for concurrent use.
type Store struct {
	db       *store.DB
	o        Options
	files    *files
	counters *counters

	// What is done for several who ask for it, which goes on when one of them leaves.
	life     context.Context
	end      context.CancelFunc
	working  sync.WaitGroup
	fetches  flights[id.ContentURI]
	pictures flights[string]
	pages    flights[string]
	brought  flights[Hash]
	// fetching, browsing and drawing have places for what may go on at a time.
	fetching, browsing *remote.Gate
	drawing            *drawing

	arrivals arrivals
	uses     uses
	failures failures[id.ContentURI]
	unseen   failures[Hash] // of which no program could make a picture
	// grown is by how many bytes the copies have grown since room was made for them.
	grown atomic.Int64
}

// New returns the media in a database and a directory.
func New(db *store.DB, o Options) *Store {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &counters{}
	s := &Store{
		db: db, o: o, files: newFiles(o, c), counters: c,
		fetching: remote.NewGate(mostFetches, mostPerServer), browsing: remote.NewGate(mostFetches, mostPerServer), drawing: newDrawing(),
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// Close ends what goes on.
func (s *Store) Close() {
	s.end()
	s.working.Wait()
}

// newURI returns a content URI of this server that nobody can guess.
func (s *Store) newURI() id.ContentURI {
	var random [18]byte
	rand.Read(random[:])
	return uri(string(s.o.Server), base64.RawURLEncoding.EncodeToString(random[:]))
}

// flights let those who ask for the same thing at the same time wait for it
// together.
type flights[K comparable] struct {
	mu  sync.Mutex
	all map[K]*flight
}

type flight struct {
	done chan struct{}
	err  error
}

// fly has something done, unless it is being done already, and waits for it. What
// is done goes on when those who wait do not, until the store is closed or its
// time is over.
func fly[K comparable](ctx context.Context, s *Store, f *flights[K], key K, most time.Duration, do func(context.Context) error) error {
	f.mu.Lock()
	one := f.all[key]
	if one == nil {
		one = &flight{done: make(chan struct{})}
		if f.all == nil {
			f.all = make(map[K]*flight)
		}
		f.all[key] = one
		s.working.Go(func() {
			ctx, cancel := context.WithTimeout(s.life, most)
			defer cancel()
			defer func() {
				if v := recover(); v != nil { // a decoder, say: only those who wait are to notice
					one.err = fault{fmt.Errorf("panic: %v\n%s", v, debug.Stack())}
				}
				f.mu.Lock()
				delete(f.all, key)
				f.mu.Unlock()
				close(one.done)
			}()
			one.err = do(ctx)
		})
	}
	f.mu.Unlock()
	select {
	case <-one.done:
		return one.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
