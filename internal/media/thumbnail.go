package media

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/webp"
	"golang.org/x/sync/semaphore"

	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A Thumbnail says how small a picture is wanted.
// https://spec.matrix.org/v1.19/client-server-api/#thumbnails
type Thumbnail struct {
	Width, Height int
	// Crop cuts the image to the proportions of the picture. Otherwise all of it is
	// there, with one side as long as it may be.
	Crop bool
	// Animated lets what moves move.
	Animated bool
}

const (
	// longestSide is how long a side may be that is asked for.
	longestSide = 1600
	// mostPictures is how many are kept of one content.
	mostPictures = 40
	// mostDrawing is how many are drawn at a time, and mostMemory how many bytes
	// their decoded images may take together.
	mostDrawing = 4
	mostMemory  = 256 << 20
	// drawTime is how long drawing may take with waiting for it.
	drawTime = 2 * time.Minute
)

// drawing bounds how much is drawn at a time.
type drawing struct{ places, memory *semaphore.Weighted }

func newDrawing() *drawing {
	return &drawing{semaphore.NewWeighted(mostDrawing), semaphore.NewWeighted(mostMemory)}
}

func (d *drawing) enter(ctx context.Context, bytes int64) (leave func(), err error) {
	if err := d.memory.Acquire(ctx, bytes); err != nil {
		return nil, err
	}
	if err := d.places.Acquire(ctx, 1); err != nil {
		d.memory.Release(bytes)
		return nil, err
	}
	return func() {
		d.places.Release(1)
		d.memory.Release(bytes)
	}, nil
}

// name is what the picture is called among those of the same content.
func (t Thumbnail) name() string {
	method, moving := "scale", ""
	if t.Crop {
		method = "crop"
	}
	if t.Animated {
		moving = "-animated"
	}
	return fmt.Sprintf("%dx%d-%s%s", t.Width, t.Height, method, moving)
}

// Thumbnail returns a picture of media that is no larger than that. Beside the
// errors of Open there are M_UNKNOWN, for what is no image, and M_TOO_LARGE.
func (s *Store) Thumbnail(ctx context.Context, r Request, t Thumbnail) (*File, error) {
	if t.Width < 1 || t.Height < 1 {
		return nil, mxerr.New(mxerr.InvalidParam, "A thumbnail has a width and a height of at least a pixel")
	}
	t.Width, t.Height = min(t.Width, longestSide), min(t.Height, longestSide)
	r.Redirect = false // pictures are here
	m, err := s.settled(ctx, r)
	if err != nil {
		return nil, err
	}
	// What was drawn may be gone again, where very many are wanted.
	for range 3 {
		path := filepath.Join(s.files.thumbnails(m.Hash), t.name())
		picture, err := s.files.openPicture(path, m.Hash)
		if err == nil {
			s.uses.note(m)
		}
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return picture, faultOf(err, "opening a thumbnail of %s", r.URI)
		}
		var f *File
		if m, f, err = s.open(ctx, r); err != nil {
			return nil, err
		}
		f.Close()
		path = filepath.Join(s.files.thumbnails(m.Hash), t.name())
		err = fly(ctx, s, &s.pictures, path, drawTime, func(ctx context.Context) error { return s.draw(ctx, m, t, path) })
		if err != nil {
			return nil, s.drawError(r.URI, err)
		}
	}
	return nil, mxerr.New(mxerr.LimitExceeded, "Too many thumbnails are wanted of %s", r.URI).With("retry_after_ms", time.Second.Milliseconds())
}

// drawError says why there is no picture.
func (s *Store) drawError(u id.ContentURI, err error) error {
	switch {
	case errors.Is(err, errTooLarge):
		status := http.StatusRequestEntityTooLarge
		if u.Server() != s.o.Server {
			status = http.StatusBadGateway
		}
		return mxerr.New(mxerr.TooLarge, "%s is too large to be drawn", u).WithStatus(status)
	case errors.Is(err, errNoPicture):
		return mxerr.New(mxerr.Unknown, "%s is no image that can be drawn", u).WithStatus(http.StatusBadRequest)
	case errors.Is(err, fs.ErrNotExist):
		return notFound(u)
	case errors.Is(err, context.DeadlineExceeded): // there was no place for it in all that time
		return mxerr.New(mxerr.LimitExceeded, "Too many thumbnails are wanted").With("retry_after_ms", drawTime.Milliseconds())
	}
	return faultOf(err, "drawing a thumbnail of %s", u)
}

func (f *files) openPicture(path string, of Hash) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var head [16]byte
	n, err := file.ReadAt(head[:], 0)
	info, failed := file.Stat()
	if err != nil && err != io.EOF || failed != nil {
		return nil, errors.Join(err, failed, file.Close())
	}
	if f.bucket != nil {
		f.touch(file)
	}
	kind := formatOf(head[:n])
	name := map[format]string{formatJPEG: "thumbnail.jpg", formatPNG: "thumbnail.png", formatGIF: "thumbnail.gif", formatWebP: "thumbnail.webp"}[kind]
	return &File{ReadSeekCloser: file, Size: info.Size(), Type: string(kind), Name: name, tag: of.String()[:32] + "-" + filepath.Base(path)}, nil
}

// draw makes a picture, and keeps it.
func (s *Store) draw(ctx context.Context, m *Media, t Thumbnail, path string) error {
	content, err := s.local(ctx, m)
	if err != nil {
		return err
	}
	defer content.Close()
	p, err := examine(content)
	if errors.Is(err, errNoPicture) {
		poster, failed := s.poster(ctx, m, content)
		if failed != nil {
			return failed
		}
		if poster != nil {
			defer poster.Close()
			content = poster
			p, err = examine(poster)
		}
	}
	if err != nil {
		return err
	}
	l := p.layout(t)
	moving := t.Animated && p.moves()
	if l.whole && (!p.animated || moving) {
		return s.files.keepPicture(m.Hash, path, func(to string) error { return linkOrCopy(content, to) })
	}
	memory := p.memory
	if moving {
		memory = p.frames.pixels + 12*p.area()
		if p.format != formatGIF { // which is decoded as a whole
			memory = 24*p.area() + 2*mostFrame
		}
	}
	if memory > mostMemory {
		return errTooLarge
	}
	leave, err := s.drawing.enter(ctx, memory)
	if err != nil {
		return err
	}
	defer leave()
	var picture bytes.Buffer
	if moving {
		err = drawAnimation(&picture, content, &p, l)
	} else {
		err = drawStill(&picture, content, &p, l)
	}
	if err != nil {
		return err
	}
	s.counters.drawn.Add(1)
	return s.files.keepPicture(m.Hash, path, func(to string) error { return writeSynced(to, &picture) })
}

// keepPicture has a picture written and gives it its name, as long as there is the
// content that it is of.
func (f *files) keepPicture(h Hash, path string, write func(to string) error) error {
	defer f.lock(h)()
	if _, err := os.Stat(f.content(h)); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fault{err}
	}
	if there, err := os.ReadDir(dir); err == nil && len(there) >= mostPictures {
		os.Remove(filepath.Join(dir, there[0].Name()))
	}
	incoming := filepath.Join(f.dir, "incoming")
	if err := f.makeDir(incoming); err != nil {
		return fault{err}
	}
	// Nothing else is done for this path at the same time.
	on := filepath.Join(incoming, f.run+"-"+h.String()+"-"+filepath.Base(path))
	err := write(on)
	if err == nil {
		err = os.Rename(on, path)
	}
	if err != nil {
		os.Remove(on)
		return fault{err}
	}
	return nil
}

// linkOrCopy gives a file another name, where the system can.
func linkOrCopy(file *os.File, to string) error {
	if os.Link(file.Name(), to) == nil {
		return nil
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return writeSynced(to, file)
}

func writeSynced(to string, content io.Reader) error {
	file, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// layout is which part of an image becomes a picture of which size.
type layout struct {
	width, height int             // of the picture, before it is turned
	source        image.Rectangle // of the image
	whole         bool            // the image is no larger than the picture may be
}

// layout finds it. No picture is larger than its image.
func (p *picture) layout(t Thumbnail) layout {
	w, h := t.Width, t.Height
	if p.turned >= 5 {
		w, h = h, w
	}
	all := image.Rect(0, 0, p.width, p.height)
	if p.width <= w && p.height <= h {
		return layout{p.width, p.height, all, true}
	}
	// The side is which is as long as it may be: is the image wider than the picture?
	wider := int64(p.width)*int64(h) > int64(p.height)*int64(w)
	if !t.Crop {
		if wider {
			return layout{w, max(1, proportion(p.height, w, p.width)), all, false}
		}
		return layout{max(1, proportion(p.width, h, p.height)), h, all, false}
	}
	part := all
	if wider {
		width := max(1, proportion(p.height, w, h))
		part.Min.X = (p.width - width) / 2
		part.Max.X = part.Min.X + width
	} else {
		height := max(1, proportion(p.width, h, w))
		part.Min.Y = (p.height - height) / 2
		part.Max.Y = part.Min.Y + height
	}
	return layout{min(w, part.Dx()), min(h, part.Dy()), part, false}
}

// proportion is a*b/c, rounded.
func proportion(a, b, c int) int { return int((int64(a)*int64(b) + int64(c)/2) / int64(c)) }

// factor is by how much the image is shrunk before it is scaled.
func (l layout) factor() int {
	return max(1, min(l.source.Dx()/l.width, l.source.Dy()/l.height))
}

// smaller is the layout where the image is smaller by a factor.
func (l layout) smaller(by int) layout {
	l.source = smaller(l.source, by)
	return l
}

// smaller is what a part of an image becomes that is made smaller; a pixel that is not
// full remains one.
func smaller(r image.Rectangle, by int) image.Rectangle {
	return image.Rect(r.Min.X/by, r.Min.Y/by, (r.Max.X+by-1)/by, (r.Max.Y+by-1)/by)
}

// shrunk is the source in the image that was shrunk.
func (l layout) shrunk() image.Rectangle {
	n := l.factor()
	s := l.source
	return image.Rect(s.Min.X/n, s.Min.Y/n, max(s.Min.X/n+1, s.Max.X/n), max(s.Min.Y/n+1, s.Max.Y/n))
}

// drawStill draws an image, or the first frame of one.
func drawStill(out io.Writer, content source, p *picture, l layout) error {
	src, by, err := decode(content, p, l.factor())
	if err != nil {
		return errNoPicture
	}
	l = l.smaller(by)
	if b, whole := src.Bounds(), smaller(image.Rect(0, 0, p.width, p.height), by); b != whole {
		canvas := image.NewRGBA(whole)
		if len(p.frames.shots) > 0 && p.format == formatWebP {
			b = p.frames.shots[0].rect
		}
		draw.Draw(canvas, b, src, src.Bounds().Min, draw.Src)
		src = canvas
	}
	small := image.NewRGBA(image.Rect(0, 0, l.width, l.height))
	xdraw.BiLinear.Scale(small, small.Rect, shrink(src, l.factor()), l.shrunk(), xdraw.Src, nil)
	small = turn(small, p.turned)
	if p.format == formatJPEG || p.format == formatWebP && small.Opaque() {
		err = jpeg.Encode(out, small, &jpeg.Options{Quality: 80})
	} else {
		err = png.Encode(out, small)
	}
	return err
}

// readAhead is how many bytes of a file are read at a time to be decoded: the decoders
// ask for so few that it is noticed.
const readAhead = 64 << 10

// decode returns an image of which n by n pixels are to become one, and by how much it
// is smaller already.
func decode(content source, p *picture, n int) (img image.Image, by int, err error) {
	ahead := bufio.NewReaderSize(content, readAhead)
	switch {
	case p.format == formatJPEG:
		return decodeJPEG(content, p, n)
	case p.format == formatPNG:
		img, err = png.Decode(ahead)
	case p.format == formatGIF:
		img, err = gif.Decode(ahead)
	case len(p.frames.shots) > 0:
		img, err = p.decodeShot(content, &p.frames.shots[0])
	default:
		img, err = webp.Decode(ahead)
	}
	return img, 1, err
}
