package media

import (
	"crypto/sha256"
	"io"
	"os"
	"runtime"
	"testing"
)

// counting is bytes that are never in memory together.
type counting struct{ n int64 }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte((c.n + int64(i)) >> 12)
	}
	c.n += int64(len(p))
	return len(p), nil
}

func TestALargeFileIsWholeAndNeverInMemory(t *testing.T) {
	const size = 2*flushStep + 12345
	f := newFiles(Options{Dir: t.TempDir()}, &counters{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	in, err := f.receive(io.LimitReader(&counting{}, size), size)
	runtime.ReadMemStats(&after)
	if err != nil || in.size != size {
		t.Fatal(in, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("it took %d bytes of memory", used)
	}
	file, err := os.Open(in.path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	digest := sha256.New()
	if n, err := io.Copy(digest, file); n != size || err != nil || Hash(digest.Sum(nil)) != in.hash {
		t.Errorf("%d bytes are there, %v", n, err)
	}
}
