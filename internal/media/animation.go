package media

import (
	"image"
	"image/draw"
	"io"
	"iter"

	xdraw "golang.org/x/image/draw"
)

// source is a content that pictures are made of.
type source interface {
	io.ReadSeeker
	io.ReaderAt
}

// movement is how many frames there are, and how many pixels they have together.
type movement struct {
	count  int
	pixels int64
	// shots are where the frames are, of APNG and WebP; no more than mostFrames.
	shots []shot
	// loops is how often all of it is shown, 0 for ever.
	loops uint32
}

// shot is a frame in a content.
type shot struct {
	rect    image.Rectangle // of the canvas
	delay   delay
	over    bool // it is drawn over what was there; otherwise it takes its place
	dispose disposal
	pieces  []piece // what it is made of
}

// piece is a part of a content.
type piece struct {
	at, size int64
}

// delay is for how many units a frame is shown, of which so many are a second.
type delay struct{ units, perSecond uint16 }

// disposal is what happens to the place of a frame before the next is drawn.
type disposal uint8

const (
	stays disposal = iota
	clears
	comesBack // what was there before the frame
)

// Animations of more than this are drawn as their first frame.
const (
	mostFrames   = 250
	mostMovement = 40 << 20 // pixels that are decoded, or drawn
	// mostFrame is how many bytes a frame may have that is not decoded.
	mostFrame = 16 << 20
)

// moves reports whether an animation is small enough to be drawn as one.
func (p *picture) moves() bool {
	m := &p.frames
	return p.animated && m.count <= mostFrames && m.pixels <= mostMovement && p.area()*int64(m.count) <= 4*mostMovement
}

// add adds a frame, and reports whether it lies on the canvas.
func (p *picture) add(s shot) bool {
	m := &p.frames
	m.count++
	m.pixels += int64(s.rect.Dx()) * int64(s.rect.Dy())
	if m.count <= mostFrames {
		m.shots = append(m.shots, s)
	}
	return !s.rect.Empty() && s.rect.In(image.Rect(0, 0, p.width, p.height))
}

// size is how many bytes a shot is made of.
func (s *shot) size() (n int64) {
	for _, p := range s.pieces {
		n += p.size
	}
	return n
}

// frame is a frame that is decoded.
type frame struct {
	image   image.Image
	rect    image.Rectangle // its place on the canvas
	over    bool
	dispose disposal
}

// shrunkFrames plays an animation on a canvas, and gives what is seen after each
// frame as a small image, which is overwritten by the next.
func shrunkFrames(width, height int, l layout, frames iter.Seq2[frame, error]) iter.Seq2[*image.RGBA, error] {
	return func(yield func(*image.RGBA, error) bool) {
		canvas := image.NewRGBA(image.Rect(0, 0, width, height))
		small := image.NewRGBA(image.Rect(0, 0, l.width, l.height))
		var before *image.RGBA
		for f, err := range frames {
			if err != nil {
				yield(nil, err)
				return
			}
			if f.dispose == comesBack {
				if before == nil {
					before = image.NewRGBA(canvas.Rect)
				}
				copy(before.Pix, canvas.Pix)
			}
			how := draw.Src
			if f.over {
				how = draw.Over
			}
			draw.Draw(canvas, f.rect, f.image, f.image.Bounds().Min, how)
			xdraw.ApproxBiLinear.Scale(small, small.Rect, shrink(canvas, l.factor()), l.shrunk(), xdraw.Src, nil)
			if !yield(small, nil) {
				return
			}
			switch f.dispose {
			case clears:
				draw.Draw(canvas, f.rect, image.Transparent, image.Point{}, draw.Src)
			case comesBack:
				copy(canvas.Pix, before.Pix)
			}
		}
	}
}

// drawAnimation makes a small animation of a large one: of a GIF a GIF, and of
// others an APNG.
func drawAnimation(out io.Writer, content source, p *picture, l layout) error {
	if p.format == formatGIF {
		return drawGIF(out, content, l)
	}
	frames := func(yield func(frame, error) bool) {
		for i := range p.frames.shots {
			s := &p.frames.shots[i]
			m, err := p.decodeShot(content, s)
			if !yield(frame{image: m, rect: s.rect, over: s.over, dispose: s.dispose}, err) || err != nil {
				return
			}
		}
	}
	w := newAPNG(out, l.width, l.height, len(p.frames.shots), p.frames.loops)
	i := 0
	for small, err := range shrunkFrames(p.width, p.height, l, frames) {
		if err != nil {
			return errNoPicture
		}
		if err := w.add(small, p.frames.shots[i].delay); err != nil {
			return err
		}
		i++
	}
	return w.end()
}

// decodeShot decodes a frame. It is as large as it says.
func (p *picture) decodeShot(content io.ReaderAt, s *shot) (m image.Image, err error) {
	if s.size() > mostFrame {
		return nil, errTooLarge
	}
	if p.format == formatWebP {
		m, err = decodeWebPShot(content, s)
	} else {
		m, err = p.decodePNGShot(content, s)
	}
	if err == nil && m.Bounds().Size() != s.rect.Size() {
		err = errNoPicture
	}
	return m, err
}
