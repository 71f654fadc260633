package media

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"io"
)

const pngMagic = "\x89PNG\r\n\x1a\n"

// pngChunk reads what is said of a chunk.
func pngChunk(content io.ReaderAt, at int64) (kind string, size int64, ok bool) {
	var b [8]byte
	if _, err := content.ReadAt(b[:], at); err != nil {
		return "", 0, false
	}
	size = int64(binary.BigEndian.Uint32(b[:]))
	return string(b[4:]), size, size < 1<<31
}

// examineFrames reads the chunks of an APNG, but not what is in them. One that is not
// as it should be does not move. https://www.w3.org/TR/png-3/#apng-frame-based-animation
func (p *picture) examineFrames(content io.ReaderAt) {
	p.animated = false
	var now *shot // the frame whose pixels come
	put := func() bool {
		ok := now == nil || len(now.pieces) > 0 && p.add(*now)
		now = nil
		return ok
	}
	at := int64(len(pngMagic))
	for range mostChunks {
		kind, size, ok := pngChunk(content, at)
		if !ok {
			return
		}
		switch kind {
		case "acTL":
			var b [8]byte
			if _, err := content.ReadAt(b[:], at+8); err != nil {
				return
			}
			p.frames.loops = binary.BigEndian.Uint32(b[4:])
		case "PLTE", "tRNS":
			if size > 3*256 {
				return
			}
			p.common = append(p.common, piece{at, 12 + size})
		case "fcTL":
			if !put() {
				return
			}
			if now, ok = pngShot(content, at+8, size); !ok {
				return
			}
		case "IDAT":
			if now != nil { // or it is a picture for who knows no animations
				now.pieces = append(now.pieces, piece{at + 8, size})
			}
		case "fdAT":
			if now == nil || size < 4 {
				return
			}
			now.pieces = append(now.pieces, piece{at + 12, size - 4})
		case "IEND":
			p.animated = put() && p.frames.count > 1
			return
		}
		at += 12 + size
	}
}

// pngShot reads what is said of a frame.
func pngShot(content io.ReaderAt, at, size int64) (*shot, bool) {
	var b [26]byte
	if _, err := content.ReadAt(b[:], at); err != nil || size != int64(len(b)) {
		return nil, false
	}
	n := func(i int) int64 { return int64(binary.BigEndian.Uint32(b[i:])) }
	if n(4)+n(12) > 1<<20 || n(8)+n(16) > 1<<20 {
		return nil, false
	}
	s := &shot{
		rect:    image.Rect(int(n(12)), int(n(16)), int(n(12)+n(4)), int(n(16)+n(8))),
		delay:   delay{binary.BigEndian.Uint16(b[20:]), binary.BigEndian.Uint16(b[22:])},
		over:    b[25] == 1,
		dispose: disposal(b[24]),
	}
	return s, s.dispose <= comesBack
}

// decodePNGShot decodes a frame as an image of its own, which has the colours of the
// whole.
func (p *picture) decodePNGShot(content io.ReaderAt, s *shot) (image.Image, error) {
	var header [13]byte
	if _, err := content.ReadAt(header[:], int64(len(pngMagic))+8); err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(header[:], uint32(s.rect.Dx()))
	binary.BigEndian.PutUint32(header[4:], uint32(s.rect.Dy()))
	var b bytes.Buffer
	b.WriteString(pngMagic)
	writePNGChunk(&b, "IHDR", header[:])
	for _, c := range p.common {
		if _, err := io.Copy(&b, io.NewSectionReader(content, c.at, c.size)); err != nil {
			return nil, err
		}
	}
	pixels := make([]byte, 0, s.size())
	for _, c := range s.pieces {
		part := pixels[len(pixels) : len(pixels)+int(c.size)]
		if _, err := content.ReadAt(part, c.at); err != nil {
			return nil, err
		}
		pixels = pixels[:len(pixels)+int(c.size)]
	}
	writePNGChunk(&b, "IDAT", pixels)
	writePNGChunk(&b, "IEND", nil)
	return png.Decode(&b)
}

// writePNGChunk writes a chunk.
func writePNGChunk(w io.Writer, kind string, content ...[]byte) error {
	var b bytes.Buffer
	b.Write(make([]byte, 4))
	b.WriteString(kind)
	for _, c := range content {
		b.Write(c)
	}
	binary.BigEndian.PutUint32(b.Bytes(), uint32(b.Len()-8))
	b.Write(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b.Bytes()[4:])))
	_, err := w.Write(b.Bytes())
	return err
}

// apng writes an animation in which each frame is a whole.
type apng struct {
	out           io.Writer
	width, height int
	frames        int
	loops         uint32
	sequence      uint32
	done          int
	err           error
}

func newAPNG(out io.Writer, width, height, frames int, loops uint32) *apng {
	w := &apng{out: out, width: width, height: height, frames: frames, loops: loops}
	_, w.err = io.WriteString(out, pngMagic)
	header := binary.BigEndian.AppendUint32(nil, uint32(width))
	header = binary.BigEndian.AppendUint32(header, uint32(height))
	w.chunk("IHDR", append(header, 8, 6, 0, 0, 0)) // four samples of eight bits
	control := binary.BigEndian.AppendUint32(nil, uint32(frames))
	w.chunk("acTL", binary.BigEndian.AppendUint32(control, loops))
	return w
}

func (w *apng) chunk(kind string, content ...[]byte) {
	if w.err == nil {
		w.err = writePNGChunk(w.out, kind, content...)
	}
}

// next numbers the chunks of an animation.
func (w *apng) next() []byte {
	w.sequence++
	return binary.BigEndian.AppendUint32(nil, w.sequence-1)
}

// add adds a frame.
func (w *apng) add(m *image.RGBA, d delay) error {
	control := w.next()
	for _, n := range [...]int{w.width, w.height, 0, 0} {
		control = binary.BigEndian.AppendUint32(control, uint32(n))
	}
	control = binary.BigEndian.AppendUint16(control, d.units)
	control = binary.BigEndian.AppendUint16(control, d.perSecond)
	w.chunk("fcTL", append(control, byte(stays), 0))
	var pixels bytes.Buffer
	if err := writeRows(&pixels, m); err != nil {
		return err
	}
	if w.done == 0 {
		w.chunk("IDAT", pixels.Bytes())
	} else {
		w.chunk("fdAT", w.next(), pixels.Bytes())
	}
	w.done++
	return w.err
}

func (w *apng) end() error {
	w.chunk("IEND")
	return w.err
}

// writeRows writes the compressed pixels of a PNG, each row as the difference of its
// pixels from those to the left.
func writeRows(out io.Writer, m *image.RGBA) error {
	z := zlib.NewWriter(out)
	row := make([]byte, 1+4*m.Rect.Dx())
	for y := range m.Rect.Dy() {
		row[0] = 1
		var left [4]byte
		for x := range m.Rect.Dx() {
			now := [4]byte(m.Pix[m.PixOffset(x, y):])
			if a := int(now[3]); a != 0 && a != 255 { // a PNG has colours as if they were opaque
				for i, c := range now[:3] {
					now[i] = uint8(min(255, int(c)*255/a))
				}
			}
			for i := range now {
				row[1+4*x+i] = now[i] - left[i]
			}
			left = now
		}
		if _, err := z.Write(row); err != nil {
			return err
		}
	}
	return z.Close()
}
