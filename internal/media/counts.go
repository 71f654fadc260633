package media

import "sync/atomic"

// Counts are what has happened since the start, and how much there is.
type Counts struct {
	Uploads, UploadBytes int64
	// Refused are uploads beyond a quota.
	Refused int64
	// Fetched are copies of what is elsewhere, and FetchFailures what could not be had.
	Fetched, FetchedBytes, FetchFailures int64
	// Drawn are thumbnails.
	Drawn int64
	// Evicted are copies that made room, and Collected files that nothing named.
	Evicted, EvictedBytes, Collected int64
	BucketFailures                   int64

	// CopyBytes is how much the copies take, and ShelfBytes what there is in the
	// directory beside a bucket: as of the last look, which is an hour ago at most, and
	// what has come since.
	CopyBytes, ShelfBytes int64
}

// counters are where that is counted.
type counters struct {
	uploads, uploadBytes, refused         atomic.Int64
	fetched, fetchedBytes, fetchFailures  atomic.Int64
	drawn                                 atomic.Int64
	evicted, evictedBytes                 atomic.Int64
	collected, bucketFailures, shelfBytes atomic.Int64
	copyBytes                             atomic.Int64
}

// Counts returns what has happened.
func (s *Store) Counts() Counts {
	c := s.counters
	return Counts{
		Uploads: c.uploads.Load(), UploadBytes: c.uploadBytes.Load(), Refused: c.refused.Load(),
		Fetched: c.fetched.Load(), FetchedBytes: c.fetchedBytes.Load(), FetchFailures: c.fetchFailures.Load(),
		Drawn: c.drawn.Load(), Evicted: c.evicted.Load(), EvictedBytes: c.evictedBytes.Load(),
		Collected: c.collected.Load(), BucketFailures: c.bucketFailures.Load(),
		CopyBytes: c.copyBytes.Load(), ShelfBytes: c.shelfBytes.Load(),
	}
}

func (c *counters) uploaded(bytes int64) {
	c.uploads.Add(1)
	c.uploadBytes.Add(bytes)
}

func (c *counters) copied(bytes int64) {
	c.fetched.Add(1)
	c.fetchedBytes.Add(bytes)
	c.copyBytes.Add(bytes)
}
