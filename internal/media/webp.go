package media

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"image"
	"io"

	"golang.org/x/image/webp"
)

// mostChunks is how many chunks of a content are looked at.
const mostChunks = 100_000

// uint24 reads a number of three bytes.
func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// examineWebP reads the size, and where the frames are if there are several.
// https://developers.google.com/speed/webp/docs/riff_container
func (p *picture) examineWebP(b *bufio.Reader, content io.ReaderAt, head []byte) error {
	if len(head) >= 30 && string(head[12:16]) == "VP8X" && head[20]&2 != 0 {
		p.width, p.height = uint24(head[24:])+1, uint24(head[27:])+1
		p.memory = p.area() * (8 + 4) // a frame, and the canvas
		return p.examineWebPFrames(content)
	}
	// A size that the frame does not have is refused by the decoder.
	config, err := webp.DecodeConfig(b)
	if err != nil {
		return errNoPicture
	}
	p.width, p.height = config.Width, config.Height
	p.memory = p.area() * 8 // without loss; else a third of it
	return nil
}

// examineWebPFrames reads the chunks of an animation, but not what is in them. One
// that ends early has the frames that it has.
func (p *picture) examineWebPFrames(content io.ReaderAt) error {
	at := int64(12)
	for range mostChunks {
		kind, size, ok := riffChunk(content, at)
		if !ok {
			break
		}
		switch kind {
		case "ANIM":
			var b [6]byte
			if _, err := content.ReadAt(b[:], at+8); err == nil {
				p.frames.loops = uint32(binary.LittleEndian.Uint16(b[4:]))
			}
		case "ANMF":
			s, ok := webpShot(content, at+8, size)
			if !ok || !p.add(s) {
				return errNoPicture
			}
		}
		at += 8 + size + size&1
	}
	if p.frames.count == 0 {
		return errNoPicture
	}
	p.animated = p.frames.count > 1
	return nil
}

// riffChunk reads what is said of a chunk.
func riffChunk(content io.ReaderAt, at int64) (kind string, size int64, ok bool) {
	var b [8]byte
	if _, err := content.ReadAt(b[:], at); err != nil {
		return "", 0, false
	}
	return string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:])), true
}

// webpShot reads what is said of a frame, and where its parts are: the pixels, and
// how opaque they are.
func webpShot(content io.ReaderAt, at, size int64) (s shot, ok bool) {
	var b [16]byte
	if _, err := content.ReadAt(b[:], at); err != nil || size < int64(len(b)) {
		return s, false
	}
	corner := image.Pt(2*uint24(b[:]), 2*uint24(b[3:]))
	s.rect = image.Rectangle{corner, corner.Add(image.Pt(uint24(b[6:])+1, uint24(b[9:])+1))}
	s.delay = delay{uint16(min(uint24(b[12:]), 1<<16-1)), 1000}
	s.over = b[15]&2 == 0
	if b[15]&1 != 0 {
		s.dispose = clears
	}
	end := at + size
	for at += int64(len(b)); at < end && len(s.pieces) < 2; {
		kind, size, ok := riffChunk(content, at)
		if !ok || at+8+size > end {
			break
		}
		switch kind {
		case "ALPH", "VP8 ", "VP8L":
			s.pieces = append(s.pieces, piece{at, 8 + size})
			if kind != "ALPH" {
				return s, true
			}
		}
		at += 8 + size + size&1
	}
	return s, false
}

// decodeWebPShot decodes a frame as an image of its own. The decoder refuses one that
// has another size than is said here before it takes memory for it.
func decodeWebPShot(content io.ReaderAt, s *shot) (image.Image, error) {
	head := []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00")
	if len(s.pieces) == 2 {
		head[20] = 1 << 4 // there is opacity
	}
	for _, n := range [...]int{s.rect.Dx() - 1, s.rect.Dy() - 1} {
		head = append(head, byte(n), byte(n>>8), byte(n>>16))
	}
	all := []io.Reader{bytes.NewReader(head)}
	length := int64(len(head) - 8)
	for _, p := range s.pieces {
		all = append(all, io.NewSectionReader(content, p.at, p.size))
		if length += p.size; p.size&1 != 0 {
			all, length = append(all, bytes.NewReader([]byte{0})), length+1
		}
	}
	binary.LittleEndian.PutUint32(head[4:], uint32(length))
	return webp.Decode(io.MultiReader(all...))
}
