package media

import (
	"bytes"
	"image"
	"image/color"
	"os"
	"testing"

	"github.com/gen2brain/jpegn"
)

// sampled encodes an image in one of the ways that cameras have.
func sampled(t testing.TB, m image.Image, o jpegn.EncodeOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	o.Quality = 90
	if err := jpegn.Encode(&b, m, &o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// gradient is an image without edges.
func gradient(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8(x * 255 / w), uint8(y * 255 / h), uint8(255 - x*255/w), 255})
		}
	}
	return m
}

func grey(m image.Image) image.Image {
	out := image.NewGray(m.Bounds())
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			out.Set(x, y, m.At(x, y))
		}
	}
	return out
}

// drawn is a thumbnail, and whether all pixels of the image were made for it.
func drawn(t *testing.T, content []byte, want Thumbnail, slow bool) (image.Image, bool) {
	t.Helper()
	p, err := examine(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if slow {
		p.spare = 0
	}
	l := p.layout(want)
	_, by, err := decodeJPEG(bytes.NewReader(content), &p, l.factor())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := drawStill(&b, bytes.NewReader(content), &p, l); err != nil {
		t.Fatal(err)
	}
	img, _, err := image.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return img, by == 1
}

// farthest is by how much a colour of two images of one size differs at most.
func farthest(t *testing.T, a, b image.Image) (most int) {
	t.Helper()
	if a.Bounds() != b.Bounds() {
		t.Fatalf("one is %v, the other %v", a.Bounds(), b.Bounds())
	}
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			r, g, b_, _ := a.At(x, y).RGBA()
			r2, g2, b2, _ := b.At(x, y).RGBA()
			for _, d := range []int{int(r>>8) - int(r2>>8), int(g>>8) - int(g2>>8), int(b_>>8) - int(b2>>8)} {
				most = max(most, d, -d)
			}
		}
	}
	return most
}

func TestAPhotographThatIsDecodedSmallerLooksTheSame(t *testing.T) {
	photos := map[string][]byte{"grey": sampled(t, grey(gradient(1001, 747)), jpegn.EncodeOptions{})}
	for name, s := range map[string]jpegn.Subsampling{"4:4:4": jpegn.Subsample444, "4:2:2": jpegn.Subsample422, "4:2:0": jpegn.Subsample420} {
		photos[name] = sampled(t, gradient(1001, 747), jpegn.EncodeOptions{Subsampling: s})
	}
	photos["with restarts"] = sampled(t, gradient(1001, 747), jpegn.EncodeOptions{RestartInterval: 7})
	photos["of Go's encoder"] = encoded(t, gradient(1001, 747), formatJPEG)
	var err error
	if photos["progressive"], err = os.ReadFile("testdata/progressive.jpg"); err != nil { // of 300 by 200 pixels
		t.Fatal(err)
	}
	for name, content := range photos {
		for _, want := range []Thumbnail{
			{Width: 32, Height: 32, Crop: true}, {Width: 96, Height: 96, Crop: true}, {Width: 150, Height: 100}, {Width: 640, Height: 480},
		} {
			fast, whole := drawn(t, content, want, false)
			if small := want.Width < 500; whole == small {
				t.Errorf("%s for %+v: all pixels were made: %v", name, want, whole)
			}
			slow, _ := drawn(t, content, want, true)
			if d := farthest(t, fast, slow); d > 16 {
				t.Errorf("%s for %+v: a colour differs by %d", name, want, d)
			}
		}
	}
}

func TestWhatIsNoPlainJPEGIsLeftToTheGeneralDecoder(t *testing.T) {
	photo := encoded(t, gradient(640, 480), formatJPEG)
	plain := func(content []byte) bool { return plainJPEG(bytes.NewReader(content), int64(len(content))) != nil }
	if !plain(photo) || !plain(sampled(t, gradient(64, 48), jpegn.EncodeOptions{})) {
		t.Fatal("a photograph is not plain")
	}
	adobe := func(transform byte) []byte {
		segment := append([]byte("\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"), transform)
		return append(append(bytes.Clone(photo[:2]), segment...), photo[2:]...)
	}
	if !plain(adobe(1)) {
		t.Error("YCbCr by Adobe is not plain")
	}
	at := bytes.Index(photo, []byte{0xff, 0xc0})
	changed := func(offset int, to byte) []byte {
		b := bytes.Clone(photo)
		b[at+offset] = to
		return b
	}
	frame := photo[at : at+19]
	for name, content := range map[string][]byte{
		"RGB by Adobe":             adobe(0),
		"the half of one":          photo[:len(photo)/2],
		"the beginning of one":     photo[:at],
		"an empty one":             nil,
		"without an end":           photo[:len(photo)-2],
		"twelve bits":              changed(4, 12),
		"arithmetic coding":        changed(1, 0xc9),
		"colours sampled more":     changed(14, 0x22),
		"brightness sampled oddly": changed(11, 0x31),
		"two frames":               append(append(bytes.Clone(photo[:at]), frame...), photo[at:]...),
		"a marker without length":  append([]byte{0xff, 0xd8, 0xff, 0x01}, photo[2:]...),
	} {
		if plain(content) {
			t.Errorf("%s: taken for plain", name)
		}
	}
	// What is appended to a photograph, or stands in its head for other programs, may be
	// anything.
	exif := append([]byte("\xff\xe1\x00\x0aExif\x00\x00\xff\xd9"), photo[2:]...)
	for name, content := range map[string][]byte{"a trailer": append(bytes.Clone(photo), "trailer"...), "Exif": append([]byte{0xff, 0xd8}, exif...)} {
		if !plain(content) {
			t.Errorf("with %s: not plain", name)
		}
	}
}

func TestNoPhotographMakesDecodingPanic(t *testing.T) {
	photo := encoded(t, gradient(200, 150), formatJPEG)
	for i := range photo {
		for _, to := range []byte{0xff, photo[i] ^ 0x10} {
			b := bytes.Clone(photo)
			b[i] = to
			if plain := plainJPEG(bytes.NewReader(b), int64(len(b))); plain != nil {
				if _, err := decodeSmaller(plain, 4); err != nil && bytes.Contains([]byte(err.Error()), []byte("runtime error")) {
					t.Errorf("with byte %d as %#x: %v", i, to, err)
				}
			}
		}
	}
}
