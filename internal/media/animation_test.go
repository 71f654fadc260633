package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"os"
	"testing"
)

var (
	red   = color.NRGBA{200, 0, 0, 255}
	green = color.NRGBA{0, 200, 0, 255}
	blue  = color.NRGBA{0, 0, 200, 255}
	glass = color.NRGBA{}
)

// reel is an animation of frames that have one colour each.
type reel struct {
	width, height int
	frames        []cel
	hidden        bool // the APNG has a picture that is no frame
}

type cel struct {
	at      image.Rectangle
	colour  color.NRGBA
	over    bool
	dispose disposal
}

// sheet is a reel whose frames fill it.
func sheet(w, h int, colours ...color.NRGBA) *reel {
	r := &reel{width: w, height: h}
	for _, c := range colours {
		r.frames = append(r.frames, cel{at: image.Rect(0, 0, w, h), colour: c})
	}
	return r
}

func pixelsOf(w, h int, c color.NRGBA) []byte {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(m, m.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	var b bytes.Buffer
	writeRows(&b, m)
	return b.Bytes()
}

func (r *reel) apng() []byte {
	var b bytes.Buffer
	u32 := func(numbers ...int) (all []byte) {
		for _, n := range numbers {
			all = binary.BigEndian.AppendUint32(all, uint32(n))
		}
		return all
	}
	b.WriteString(pngMagic)
	writePNGChunk(&b, "IHDR", u32(r.width, r.height), []byte{8, 6, 0, 0, 0})
	writePNGChunk(&b, "acTL", u32(len(r.frames), 3))
	if r.hidden {
		writePNGChunk(&b, "IDAT", pixelsOf(r.width, r.height, color.NRGBA{99, 99, 99, 255}))
	}
	sequence := 0
	for i, f := range r.frames {
		over := byte(0)
		if f.over {
			over = 1
		}
		writePNGChunk(&b, "fcTL", u32(sequence, f.at.Dx(), f.at.Dy(), f.at.Min.X, f.at.Min.Y), []byte{0, 7, 0, 100, byte(f.dispose), over})
		sequence++
		pixels := pixelsOf(f.at.Dx(), f.at.Dy(), f.colour)
		if i == 0 && !r.hidden {
			writePNGChunk(&b, "IDAT", pixels)
			continue
		}
		for _, half := range [][]byte{pixels[:3], pixels[3:]} { // in two pieces
			writePNGChunk(&b, "fdAT", u32(sequence), half)
			sequence++
		}
	}
	writePNGChunk(&b, "IEND")
	return b.Bytes()
}

// vp8l is an image of one colour without loss.
// https://developers.google.com/speed/webp/docs/webp_lossless_bitstream_specification
func vp8l(w, h int, c color.NRGBA) []byte {
	var bits []byte
	put := func(value, n int) {
		for i := range n {
			bits = append(bits, byte(value>>i&1))
		}
	}
	put(w-1, 14)
	put(h-1, 14)
	put(1, 1) // there is opacity
	put(0, 3)
	put(0, 3) // no transform, no cache, no groups
	for _, symbol := range []uint8{c.G, c.R, c.B, c.A, 0} {
		put(1, 1) // a code with one symbol of eight bits
		put(0, 1)
		put(1, 1)
		put(int(symbol), 8)
	}
	out := []byte{0x2f}
	for i := 0; i < len(bits); i += 8 {
		var b byte
		for j, bit := range bits[i:min(i+8, len(bits))] {
			b |= bit << j
		}
		out = append(out, b)
	}
	return append(out, 0, 0)
}

func riff(kind string, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	b := append([]byte(kind), binary.LittleEndian.AppendUint32(nil, uint32(len(content)))...)
	if b = append(b, content...); len(content)&1 != 0 {
		b = append(b, 0)
	}
	return b
}

func (r *reel) webp() []byte {
	u24 := func(numbers ...int) (all []byte) {
		for _, n := range numbers {
			all = append(all, byte(n), byte(n>>8), byte(n>>16))
		}
		return all
	}
	parts := [][]byte{[]byte("WEBP"), riff("VP8X", []byte{0x12, 0, 0, 0}, u24(r.width-1, r.height-1)), riff("ANIM", []byte{0, 0, 0, 0, 3, 0})}
	for _, f := range r.frames {
		flags := byte(0)
		if !f.over {
			flags |= 2
		}
		if f.dispose == clears {
			flags |= 1
		}
		parts = append(parts, riff("ANMF", u24(f.at.Min.X/2, f.at.Min.Y/2, f.at.Dx()-1, f.at.Dy()-1, 70), []byte{flags},
			riff("VP8L", vp8l(f.at.Dx(), f.at.Dy(), f.colour))))
	}
	return riff("RIFF", parts...)
}

// seen is the colours of some points in all frames of an APNG whose frames are wholes.
func seen(t *testing.T, content []byte, points ...image.Point) (all [][]color.NRGBA) {
	t.Helper()
	p, err := examine(bytes.NewReader(content))
	if err != nil || !p.animated {
		t.Fatal(p, err)
	}
	for i := range p.frames.shots {
		s := &p.frames.shots[i]
		if s.delay != (delay{7, 100}) && s.delay != (delay{70, 1000}) {
			t.Errorf("frame %d is shown for %v", i, s.delay)
		}
		m, err := p.decodeShot(bytes.NewReader(content), s)
		if err != nil {
			t.Fatal(err)
		}
		var colours []color.NRGBA
		for _, at := range points {
			colours = append(colours, color.NRGBAModel.Convert(m.At(at.X, at.Y)).(color.NRGBA))
		}
		all = append(all, colours)
	}
	if p.frames.loops != 3 {
		t.Errorf("it is shown %d times", p.frames.loops)
	}
	return all
}

// TestAnimationsPlayAsTheyDid draws small what has frames that lie on each other in
// all ways. The left half of the canvas is drawn on first, and then the right.
func TestAnimationsPlayAsTheyDid(t *testing.T) {
	whole, left, right := image.Rect(0, 0, 200, 100), image.Rect(0, 0, 100, 100), image.Rect(100, 0, 200, 100)
	for _, tt := range []struct {
		name   string
		frames []cel
		want   [][]color.NRGBA // left and right
		apng   bool            // WebP has no such thing
	}{
		{"wholes", []cel{{whole, red, false, stays}, {whole, green, false, stays}}, [][]color.NRGBA{{red, red}, {green, green}}, false},
		{"parts that stay", []cel{{whole, red, false, stays}, {right, green, false, stays}, {left, blue, true, stays}},
			[][]color.NRGBA{{red, red}, {red, green}, {blue, green}}, false},
		{"parts that go", []cel{{left, red, false, clears}, {right, green, true, clears}, {left, blue, true, stays}},
			[][]color.NRGBA{{red, glass}, {glass, green}, {blue, glass}}, false},
		{"what was before comes back", []cel{{whole, red, false, stays}, {right, green, false, comesBack}, {left, blue, false, stays}},
			[][]color.NRGBA{{red, red}, {red, green}, {blue, red}}, true},
		{"what is clear shows what is below", []cel{{whole, red, false, stays}, {right, glass, true, stays}, {right, glass, false, stays}},
			[][]color.NRGBA{{red, red}, {red, red}, {red, glass}}, false},
	} {
		r := &reel{width: 200, height: 100, frames: tt.frames}
		inputs := map[string][]byte{"APNG": r.apng(), "WebP": r.webp()}
		if tt.apng {
			delete(inputs, "WebP")
		}
		hidden := *r
		hidden.hidden = true
		inputs["APNG with a picture that is no frame"] = hidden.apng()
		for kind, content := range inputs {
			what := fmt.Sprintf("%s, %s", kind, tt.name)
			p, err := examine(bytes.NewReader(content))
			if err != nil || !p.moves() {
				t.Errorf("%s: it does not move: %+v, %v", what, p, err)
				continue
			}
			var out bytes.Buffer
			if err := drawAnimation(&out, bytes.NewReader(content), &p, p.layout(Thumbnail{Width: 40, Height: 40})); err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			if first, err := png.Decode(bytes.NewReader(out.Bytes())); err != nil || first.Bounds() != image.Rect(0, 0, 40, 20) {
				t.Errorf("%s: %v, who knows no animations sees %v", what, err, first)
			}
			got := seen(t, out.Bytes(), image.Pt(5, 5), image.Pt(35, 15))
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("%s: got %v, want %v", what, got, tt.want)
			}
		}
	}
}

func TestAPNGAndWebPMoveOnlyWhereThatIsWanted(t *testing.T) {
	each(t, func(s *scene) {
		r := sheet(200, 100, red, green, blue)
		for name, content := range map[string][]byte{"APNG": r.apng(), "WebP": r.webp()} {
			u := s.uploadBytes(content)
			small, kind := s.picture(u, 50, 50, false, true)
			if got := seen(t, small, image.Pt(1, 1)); kind != "image/png" || len(got) != 3 || got[2][0] != blue {
				t.Errorf("%s that moves: %s, %v", name, kind, got)
			}
			for _, side := range []int{50, 500} {
				small, kind = s.picture(u, side, side, false, false)
				m, _, err := image.Decode(bytes.NewReader(small))
				if err != nil {
					t.Errorf("%s, side %d: %s, %v", name, side, kind, err)
					continue
				}
				near(t, name+" that should not move", m.At(1, 1), red)
				if p, err := examine(bytes.NewReader(small)); err != nil || p.animated {
					t.Errorf("%s moves: %v", name, err)
				}
			}
			if same, _ := s.picture(u, 500, 500, false, true); !bytes.Equal(same, content) {
				t.Errorf("%s is not as it was", name)
			}
		}
		many := s.uploadBytes(sheet(40, 2, make([]color.NRGBA, mostFrames+1)...).webp())
		if small, kind := s.picture(many, 20, 20, false, true); kind != "image/png" {
			t.Errorf("what moves too much is %s", kind)
		} else if p, err := examine(bytes.NewReader(small)); err != nil || p.animated {
			t.Errorf("what moves too much moves: %v", err)
		}
	})
}

func TestAnimationsThatLieAreRefusedOrStandStill(t *testing.T) {
	each(t, func(s *scene) {
		outside := &reel{width: 20, height: 20, frames: []cel{{image.Rect(0, 0, 20, 20), red, false, stays}, {image.Rect(10, 10, 40, 40), green, false, stays}}}
		lying := sheet(100, 100, red, green).webp()
		at := bytes.LastIndex(lying, []byte{0x2f})
		binary.LittleEndian.PutUint32(lying[at+1:], 0xfffffff) // 16384 by 16384 pixels
		huge := sheet(16, 16, red, green).webp()
		copy(huge[24:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		apng := sheet(100, 100, red, green).apng()
		for name, tt := range map[string]struct {
			content []byte
			want    string
		}{
			"WebP with a frame beside the canvas": {outside.webp(), "M_UNKNOWN"},
			"APNG with a frame beside the canvas": {outside.apng(), "image/png"},
			"WebP with a frame that is larger":    {lying, "M_UNKNOWN"},
			"WebP that is larger than can be":     {huge, "M_TOO_LARGE"},
			"WebP that ends early":                {sheet(100, 100, red, green).webp()[:80], "M_UNKNOWN"},
			"APNG that ends early":                {apng[:len(apng)-30], "M_UNKNOWN"},
			"APNG without pixels":                 {bytes.Replace(apng, []byte("IDAT"), []byte("IDAX"), 1), "M_UNKNOWN"},
		} {
			content, got := s.picture(s.uploadBytes(tt.content), 32, 32, false, true)
			if got != tt.want {
				t.Errorf("%s: got %s, want %s", name, got, tt.want)
				continue
			}
			if got != "image/png" {
				continue
			}
			if p, err := examine(bytes.NewReader(content)); err != nil || p.animated {
				t.Errorf("%s: it moves, %v", name, err)
			}
		}
	})
}

func BenchmarkAnimation(b *testing.B) {
	for _, side := range []int{100, 400} {
		colours := []color.NRGBA{red, green, blue, red, green, blue, red, green, blue, red}
		r := sheet(side, side, colours...)
		for kind, content := range map[string][]byte{"apng": r.apng(), "webp": r.webp(), "gif": moving(b, side, side, len(colours))} {
			b.Run(fmt.Sprintf("%s/%d", kind, side), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					p, err := examine(bytes.NewReader(content))
					if err == nil {
						err = drawAnimation(io.Discard, bytes.NewReader(content), &p, p.layout(Thumbnail{Width: 96, Height: 96}))
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// TestAMovingWebPWithLossIsDrawn draws a ball that goes from left to right and is less
// opaque at its edge, as an encoder of others has written it: testdata/moving.webp.
func TestAMovingWebPWithLossIsDrawn(t *testing.T) {
	content, err := os.ReadFile("testdata/moving.webp")
	if err != nil {
		t.Fatal(err)
	}
	p, err := examine(bytes.NewReader(content))
	if err != nil || !p.moves() || p.width != 64 || p.height != 48 {
		t.Fatal(p, err)
	}
	var out bytes.Buffer
	if err := drawAnimation(&out, bytes.NewReader(content), &p, p.layout(Thumbnail{Width: 32, Height: 32})); err != nil {
		t.Fatal(err)
	}
	drawn, err := examine(bytes.NewReader(out.Bytes()))
	if err != nil || drawn.frames.count != 3 {
		t.Fatal(drawn, err)
	}
	for i := range drawn.frames.shots {
		m, err := drawn.decodeShot(bytes.NewReader(out.Bytes()), &drawn.frames.shots[i])
		if err != nil {
			t.Fatal(err)
		}
		ball := color.NRGBAModel.Convert(m.At(8+8*i, 12)).(color.NRGBA)
		if ball.A < 200 {
			t.Errorf("frame %d: the ball is %v", i, ball)
		}
		ball.A = 255
		near(t, fmt.Sprint("the ball of frame ", i), ball, color.NRGBA{200, uint8(60 * i), 96, 255})
		if _, _, _, a := m.At(1, 1).RGBA(); a != 0 {
			t.Errorf("frame %d has something beside the ball", i)
		}
	}
	var still bytes.Buffer
	if err := drawStill(&still, bytes.NewReader(content), &p, p.layout(Thumbnail{Width: 32, Height: 32})); err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(&still)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, a := m.At(8, 12).RGBA(); a < 200<<8 {
		t.Errorf("the first frame has no ball: %x", a)
	}
}
