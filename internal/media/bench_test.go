package media

import (
	"bytes"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"parley/internal/store"
	"parley/internal/store/storetest"
)

// photo is an image with as much in it as a photo has.
func photo(w, h int) *image.RGBA {
	m := scenery(w, h)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range m.Pix {
		if i%4 != 3 {
			m.Pix[i] += uint8(random.IntN(24))
		}
	}
	return m
}

// BenchmarkThumbnail draws a picture of a photo, 12 megapixels at most.
func BenchmarkThumbnail(b *testing.B) {
	for _, size := range []image.Point{{1000, 750}, {4000, 3000}} {
		for _, kind := range []format{formatJPEG, formatPNG} {
			path := filepath.Join(b.TempDir(), "photo")
			if err := os.WriteFile(path, encoded(b, photo(size.X, size.Y), kind), 0o600); err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%s/%dx%d", kind[len("image/"):], size.X, size.Y), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					file, err := os.Open(path)
					if err != nil {
						b.Fatal(err)
					}
					p, err := examine(file)
					if err == nil {
						err = drawStill(io.Discard, file, &p, p.layout(Thumbnail{Width: 320, Height: 240}))
					}
					if closed := file.Close(); err != nil || closed != nil {
						b.Fatal(err, closed)
					}
				}
			})
		}
	}
}

// BenchmarkCachedThumbnail gets a picture that was drawn before.
func BenchmarkCachedThumbnail(b *testing.B) {
	storetest.Bench(b, func(b *testing.B, db *store.DB) {
		for _, side := range []int{400, 4000} {
			b.Run(fmt.Sprint(side), func(b *testing.B) {
				s := New(db, Options{Server: "a.test", Dir: b.TempDir(), MaxUpload: 1 << 30, CacheSize: 1 << 30})
				defer s.Close()
				u, err := s.Upload(b.Context(), "@alice:a.test", Upload{Length: -1}, bytes.NewReader(encoded(b, photo(side, side), formatJPEG)))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					f, err := s.Thumbnail(b.Context(), Request{URI: u}, Thumbnail{Width: 320, Height: 240})
					if err != nil {
						b.Fatal(err)
					}
					f.Close()
				}
			})
		}
	})
}
