package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/internal/store/storetest"
	"parley/matrix/id"
)

// scenery is an image in which each quarter has another colour.
func scenery(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{200, 30, 30, 255}
			if x >= w/2 {
				c.G = 200
			}
			if y >= h/2 {
				c.B = 200
			}
			m.SetRGBA(x, y, c)
		}
	}
	return m
}

func encoded(t testing.TB, m image.Image, kind format) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch kind {
	case formatJPEG:
		err = jpeg.Encode(&b, m, &jpeg.Options{Quality: 90})
	case formatPNG:
		err = png.Encode(&b, m)
	case formatGIF:
		err = gif.Encode(&b, m, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// moving is an animation.
func moving(t testing.TB, w, h, frames int) []byte {
	t.Helper()
	g := &gif.GIF{}
	for i := range frames {
		f := image.NewPaletted(image.Rect(0, 0, w, h), palette.Plan9)
		for p := range f.Pix {
			f.Pix[p] = uint8(p/w + 40*i)
		}
		g.Image, g.Delay = append(g.Image, f), append(g.Delay, 10)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (s *scene) uploadBytes(content []byte) id.ContentURI {
	s.t.Helper()
	u, err := s.Upload(s.t.Context(), "@alice:a.test", Upload{Type: "image/png", Length: -1}, bytes.NewReader(content))
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// picture is a thumbnail, and its type or the code of the refusal.
func (s *scene) picture(u id.ContentURI, w, h int, crop, animated bool) (content []byte, kind string) {
	s.t.Helper()
	f, err := s.Thumbnail(s.t.Context(), Request{URI: u}, Thumbnail{w, h, crop, animated})
	if err != nil {
		return nil, codeOf(err)
	}
	defer f.Close()
	content, err = io.ReadAll(f)
	if err != nil || int64(len(content)) != f.Size {
		s.t.Fatal(len(content), f.Size, err)
	}
	return content, f.Type
}

func TestThumbnailsAreAsLargeAsWanted(t *testing.T) {
	each(t, func(s *scene) {
		for _, tt := range []struct {
			w, h       int // of the image
			kind       format
			want       Thumbnail
			outW, outH int
			outKind    string
		}{
			{1000, 500, formatJPEG, Thumbnail{Width: 320, Height: 240}, 320, 160, "image/jpeg"},
			{500, 1000, formatPNG, Thumbnail{Width: 320, Height: 240}, 120, 240, "image/png"},
			{1000, 500, formatPNG, Thumbnail{Width: 96, Height: 96, Crop: true}, 96, 96, "image/png"},
			{500, 1000, formatGIF, Thumbnail{Width: 32, Height: 32, Crop: true}, 32, 32, "image/png"},
			{1000, 60, formatJPEG, Thumbnail{Width: 96, Height: 96, Crop: true}, 60, 60, "image/jpeg"},
			{1000, 60, formatJPEG, Thumbnail{Width: 640, Height: 480}, 640, 38, "image/jpeg"},
			{3000, 1, formatPNG, Thumbnail{Width: 32, Height: 32}, 32, 1, "image/png"},
			{1, 3000, formatPNG, Thumbnail{Width: 32, Height: 32, Crop: true}, 1, 1, "image/png"},
			{30, 20, formatPNG, Thumbnail{Width: 32, Height: 32}, 30, 20, "image/png"},
			{30, 20, formatGIF, Thumbnail{Width: 32, Height: 32, Crop: true}, 30, 20, "image/gif"},
			{2000, 1900, formatJPEG, Thumbnail{Width: 99999, Height: 99999}, 1600, 1520, "image/jpeg"},
			{333, 217, formatJPEG, Thumbnail{Width: 100, Height: 100}, 100, 65, "image/jpeg"},
		} {
			what := fmt.Sprintf("%d by %d, %s, %+v", tt.w, tt.h, tt.kind, tt.want)
			content, kind := s.picture(s.uploadBytes(encoded(t, scenery(tt.w, tt.h), tt.kind)), tt.want.Width, tt.want.Height, tt.want.Crop, false)
			m, _, err := image.Decode(bytes.NewReader(content))
			if err != nil || kind != tt.outKind {
				t.Errorf("%s: got %s, %v, want %s", what, kind, err, tt.outKind)
				continue
			}
			if m.Bounds().Dx() != tt.outW || m.Bounds().Dy() != tt.outH {
				t.Errorf("%s: got %v, want %d by %d", what, m.Bounds(), tt.outW, tt.outH)
			}
		}
	})
}

// near fails unless a colour is about another.
func near(t *testing.T, what string, got, want color.Color) {
	t.Helper()
	r, g, b, _ := got.RGBA()
	wr, wg, wb, _ := want.RGBA()
	for _, d := range []int{int(r) - int(wr), int(g) - int(wg), int(b) - int(wb)} {
		if d < -20<<8 || d > 20<<8 {
			t.Errorf("%s: got %v, want %v", what, got, want)
			return
		}
	}
}

func TestAThumbnailShowsWhatTheImageShows(t *testing.T) {
	each(t, func(s *scene) {
		src := scenery(640, 480)
		gray := image.NewGray(src.Rect)
		wide := image.NewNRGBA64(src.Rect)
		flat := image.NewPaletted(src.Rect, palette.Plan9)
		for y := range 480 {
			for x := range 640 {
				gray.Set(x, y, src.At(x, y))
				wide.Set(x, y, src.At(x, y))
				flat.Set(x, y, src.At(x, y))
			}
		}
		for name, tt := range map[string]struct {
			m    image.Image
			kind format
		}{
			"JPEG": {src, formatJPEG}, "gray JPEG": {gray, formatJPEG}, "PNG": {src, formatPNG}, "gray PNG": {gray, formatPNG},
			"PNG of 16 bits": {wide, formatPNG}, "PNG with a palette": {flat, formatPNG}, "GIF": {flat, formatGIF},
		} {
			content, _ := s.picture(s.uploadBytes(encoded(t, tt.m, tt.kind)), 64, 64, false, false)
			small, _, err := image.Decode(bytes.NewReader(content))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for _, at := range []image.Point{{10, 10}, {50, 10}, {10, 40}, {50, 40}} {
				near(t, fmt.Sprint(name, at), small.At(at.X, at.Y), tt.m.At(at.X*10, at.Y*10))
			}
		}
	})
}

// lying is a JPEG with Exif data that says how it lies.
func lying(t testing.TB, m image.Image, orientation byte) []byte {
	plain := encoded(t, m, formatJPEG)
	exif := append([]byte("Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"), orientation, 0, 0, 0, 0, 0, 0)
	segment := append([]byte{0xff, 0xe1}, binary.BigEndian.AppendUint16(nil, uint16(len(exif)+2))...)
	return bytes.Join([][]byte{plain[:2], segment, exif, plain[2:]}, nil)
}

func TestPhotosAreTurnedAsTheyLie(t *testing.T) {
	each(t, func(s *scene) {
		src := scenery(200, 100)
		topLeft := map[byte]image.Point{1: {20, 20}, 2: {180, 20}, 3: {180, 80}, 4: {20, 80}, 5: {20, 20}, 6: {20, 80}, 7: {180, 80}, 8: {180, 20}}
		for orientation, corner := range topLeft {
			content, _ := s.picture(s.uploadBytes(lying(t, src, orientation)), 50, 50, false, false)
			small, err := jpeg.Decode(bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			want := image.Pt(50, 25)
			if orientation >= 5 {
				want = image.Pt(25, 50)
			}
			if got := small.Bounds().Size(); got != want {
				t.Errorf("orientation %d: got %v, want %v", orientation, got, want)
			}
			near(t, fmt.Sprint("orientation ", orientation), small.At(5, 5), src.At(corner.X, corner.Y))
		}
	})
}

func TestWhatMovesMovesOnlyWhereThatIsWanted(t *testing.T) {
	each(t, func(s *scene) {
		u := s.uploadBytes(moving(t, 200, 100, 5))
		frames := func(content []byte) (int, image.Point) {
			g, err := gif.DecodeAll(bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			return len(g.Image), image.Pt(g.Config.Width, g.Config.Height)
		}
		content, kind := s.picture(u, 50, 50, false, true)
		if n, size := frames(content); kind != "image/gif" || n != 5 || size != image.Pt(50, 25) {
			t.Errorf("got %s of %v with %d frames", kind, size, n)
		}
		for _, side := range []int{50, 500} {
			content, kind = s.picture(u, side, side, false, false)
			if _, err := png.Decode(bytes.NewReader(content)); kind != "image/png" || err != nil {
				t.Errorf("that it should not move: %s, %v", kind, err)
			}
		}
		content, kind = s.picture(u, 500, 500, false, true)
		if n, size := frames(content); kind != "image/gif" || n != 5 || size != image.Pt(200, 100) {
			t.Errorf("as it is: got %s of %v with %d frames", kind, size, n)
		}
		still := s.uploadBytes(encoded(t, scenery(100, 100), formatJPEG))
		if _, kind := s.picture(still, 50, 50, false, true); kind != "image/jpeg" {
			t.Errorf("what cannot move is %s", kind)
		}
		many := s.uploadBytes(moving(t, 2, 100, mostFrames+1))
		if _, kind := s.picture(many, 50, 50, false, true); kind != "image/png" {
			t.Errorf("what moves too much is %s", kind)
		}
	})
}

// chunk is a chunk of a PNG.
func chunk(kind string, content []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
	b = append(append(b, kind...), content...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

func hugePNG(w, h uint32) []byte {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	header = append(header, 8, 6, 0, 0, 0)
	return bytes.Join([][]byte{[]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", header), chunk("IDAT", []byte("x")), chunk("IEND", nil)}, nil)
}

func hugeJPEG(t *testing.T) []byte {
	b := encoded(t, scenery(64, 64), formatJPEG)
	at := bytes.Index(b, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(b[at+5:], 65500)
	binary.BigEndian.PutUint16(b[at+7:], 65500)
	return b
}

func TestHostileImagesAreRefused(t *testing.T) {
	each(t, func(s *scene) {
		whole := encoded(t, scenery(400, 300), formatPNG)
		photo := encoded(t, scenery(400, 300), formatJPEG)
		for name, tt := range map[string]struct {
			content []byte
			want    string
		}{
			"a text":                          {[]byte("hello"), "M_UNKNOWN"},
			"nothing":                         {nil, "M_UNKNOWN"},
			"SVG":                             {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), "M_UNKNOWN"},
			"HTML":                            {[]byte("<html><script>alert(1)</script>"), "M_UNKNOWN"},
			"a truncated PNG":                 {whole[:len(whole)/2], "M_UNKNOWN"},
			"a truncated JPEG":                {photo[:len(photo)/2], "M_UNKNOWN"},
			"the beginning of a JPEG":         {photo[:30], "M_UNKNOWN"},
			"a PNG of four billion pixels":    {hugePNG(60000, 60000), "M_TOO_LARGE"},
			"a PNG of more than there can be": {hugePNG(1<<31-1, 1<<31-1), "M_TOO_LARGE"},
			"a PNG without pixels":            {hugePNG(0, 100), "M_UNKNOWN"},
			"a long, thin PNG without end":    {hugePNG(1<<20, 100), "M_TOO_LARGE"},
			"a JPEG of four billion pixels":   {hugeJPEG(t), "M_TOO_LARGE"},
			"a GIF without frames":            {[]byte("GIF89a\xff\xff\xff\xff\x00\x00\x00;"), "M_UNKNOWN"},
			"a GIF with a huge frame":         {append([]byte("GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02"), 1, 2, 0, ';'), "M_TOO_LARGE"},
			"WebP that is none":               {[]byte("RIFF\x00\x00\x00\x00WEBPVP8L\xff\xff\xff\xff"), "M_UNKNOWN"},
			"WebP that moves":                 {[]byte("RIFF\x20\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x10\x00\x00\x10\x00\x00"), "M_UNKNOWN"},
			"a zip":                           {[]byte("PK\x03\x04"), "M_UNKNOWN"},
		} {
			if _, got := s.picture(s.uploadBytes(tt.content), 32, 32, false, true); got != tt.want {
				t.Errorf("%s: got %s, want %s", name, got, tt.want)
			}
		}
	})
}

func TestNoInputMakesDrawingPanic(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	inputs := [][]byte{
		encoded(t, scenery(90, 70), formatPNG), lying(t, scenery(90, 70), 6), moving(t, 40, 30, 3),
		sheet(100, 50, red, green, blue).apng(), sheet(100, 50, red, green, blue).webp(),
	}
	for i := range 1000 {
		b := bytes.Clone(inputs[i%len(inputs)])
		for range 1 + random.IntN(4) {
			b[random.IntN(min(len(b), 200))] = byte(random.Uint32())
		}
		b = b[:1+random.IntN(len(b))]
		p, err := examine(bytes.NewReader(b))
		if err != nil || p.memory > 1<<22 {
			continue
		}
		for _, want := range []Thumbnail{{Width: 20, Height: 20}, {Width: 16, Height: 9, Crop: true}} {
			l := p.layout(want)
			if l.width > p.width && l.width > p.height || l.height > p.height && l.height > p.width || l.width < 1 || l.height < 1 {
				t.Fatalf("%+v becomes %+v", p, l)
			}
			drawStill(io.Discard, bytes.NewReader(b), &p, l)
			if p.moves() {
				drawAnimation(io.Discard, bytes.NewReader(b), &p, l)
			}
		}
	}
}

// FuzzThumbnail draws whatever there is. A picture that comes about is one, and no
// larger than what was wanted or than its image.
func FuzzThumbnail(f *testing.F) {
	r := sheet(30, 20, red, green, blue)
	for _, content := range [][]byte{
		encoded(f, scenery(30, 20), formatPNG), lying(f, scenery(30, 20), 6), moving(f, 30, 20, 3), r.apng(), r.webp(), hugePNG(60000, 60000),
		encoded(f, gradient(200, 150), formatJPEG),
	} {
		f.Add(content, uint8(16), uint8(9), true, true)
	}
	for _, name := range []string{"moving.webp", "progressive.jpg"} {
		content, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content, uint8(20), uint8(20), false, true)
	}
	f.Fuzz(func(t *testing.T, content []byte, w, h uint8, crop, animated bool) {
		p, err := examine(bytes.NewReader(content))
		if err != nil || p.memory > 1<<20 || p.area()*int64(p.frames.count) > 1<<20 || p.frames.pixels > 1<<20 {
			return // or it takes too long to try many
		}
		wanted := Thumbnail{Width: 1 + int(w), Height: 1 + int(h), Crop: crop, Animated: animated}
		l := p.layout(wanted)
		var out bytes.Buffer
		if animated && p.moves() {
			err = drawAnimation(&out, bytes.NewReader(content), &p, l)
		} else {
			err = drawStill(&out, bytes.NewReader(content), &p, l)
		}
		if err != nil {
			return
		}
		drawn, err := examine(bytes.NewReader(out.Bytes()))
		if err != nil || drawn.width > wanted.Width || drawn.height > wanted.Height || drawn.area() > p.area() {
			t.Errorf("of %d by %d, wanted %+v: got %d by %d, %v", p.width, p.height, wanted, drawn.width, drawn.height, err)
		}
		if drawn.animated && !animated {
			t.Error("it moves")
		}
	})
}

func TestNoMoreThanFourAreDrawnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrawing()
		now, most := 0, 0
		var mu sync.Mutex
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			now += n
			most = max(most, now)
		}
		for _, tt := range []struct {
			bytes int64
			want  int
		}{{1, mostDrawing}, {mostMemory / 3, 3}, {mostMemory, 1}} {
			most = 0
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					leave, err := d.enter(t.Context(), tt.bytes)
					if err != nil {
						t.Error(err)
						return
					}
					count(1)
					time.Sleep(time.Second)
					count(-1)
					leave()
				})
			}
			wg.Wait()
			if most != tt.want {
				t.Errorf("of %d bytes: %d at once, want %d", tt.bytes, most, tt.want)
			}
		}
	})
}

func TestAThumbnailForWhichThereIsNoPlaceIsForLater(t *testing.T) {
	location := filepath.Join(t.TempDir(), "parley.db")
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, storetest.Open(t, location), t.TempDir())
		u := s.uploadBytes(encoded(t, scenery(100, 100), formatPNG))
		leave, err := s.drawing.enter(t.Context(), mostMemory)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := s.picture(u, 32, 32, false, false); got != "M_LIMIT_EXCEEDED" {
			t.Errorf("got %s", got)
		}
		leave()
		if _, got := s.picture(u, 32, 32, false, false); got != "image/png" {
			t.Errorf("got %s", got)
		}
	})
}

func TestThumbnailsAreKeptOncePerContentAndSize(t *testing.T) {
	each(t, func(s *scene) {
		content := encoded(t, scenery(100, 100), formatPNG)
		one, two := s.uploadBytes(content), s.uploadBytes(content)
		for range 3 {
			s.picture(one, 32, 32, true, false)
			s.picture(two, 32, 32, true, false)
		}
		s.expectFiles("with one thumbnail", 2)
		for side := range mostPictures + 20 {
			if _, kind := s.picture(one, side+10, side+10, false, false); kind != "image/png" {
				t.Errorf("side %d: %s", side+10, kind)
			}
		}
		s.expectFiles("with very many", 1+mostPictures)
		s.forget(one, two)
		s.expectFiles("when the media are gone", 0)
	})
}
