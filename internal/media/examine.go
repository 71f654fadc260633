package media

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// picture is what the beginning of an image says of it, before anything is
// decoded.
type picture struct {
	format        format
	width, height int
	// turned is the orientation of Exif, 1 to 8: how the image lies.
	turned int
	// animated says that there is more than one frame, and frames which.
	animated bool
	frames   movement
	// common is what all frames of a PNG need.
	common []piece
	// memory is how many bytes decoding takes, roughly and at most, without animation.
	memory int64
	// spare is how many of those bytes are not needed if a JPEG is decoded to half its
	// width and height, or less.
	spare int64
}

type format string

const (
	formatJPEG format = "image/jpeg"
	formatPNG  format = "image/png"
	formatGIF  format = "image/gif"
	formatWebP format = "image/webp"
)

// errNoPicture: the content is no image that can be decoded.
var errNoPicture = errors.New("the content is no image of a known kind")

// formatOf tells the kind of a content by its first bytes, whatever it claims to be.
func formatOf(head []byte) format {
	has := func(at int, magic string) bool {
		return len(head) >= at+len(magic) && string(head[at:at+len(magic)]) == magic
	}
	switch {
	case has(0, "\xff\xd8\xff"):
		return formatJPEG
	case has(0, "\x89PNG\r\n\x1a\n"):
		return formatPNG
	case has(0, "GIF87a"), has(0, "GIF89a"):
		return formatGIF
	case has(0, "RIFF") && has(8, "WEBP"):
		return formatWebP
	}
	return ""
}

// examine looks at the beginning of a content, and all of one that moves.
func examine(r source) (p picture, err error) {
	b := bufio.NewReader(r)
	head, _ := b.Peek(32)
	p = picture{format: formatOf(head), turned: 1}
	switch p.format {
	case formatJPEG:
		err = p.examineJPEG(b)
	case formatPNG:
		err = p.examinePNG(b)
	case formatGIF:
		err = p.examineGIF(b)
	case formatWebP:
		err = p.examineWebP(b, r, head)
	default:
		err = errNoPicture
	}
	if err == nil && (p.width <= 0 || p.height <= 0) {
		err = errNoPicture
	}
	if err == nil && p.format == formatPNG && p.animated {
		p.examineFrames(r)
	}
	if _, failed := r.Seek(0, io.SeekStart); failed != nil {
		return p, fault{failed}
	}
	return p, err
}

// area is how many pixels there are.
func (p *picture) area() int64 { return int64(p.width) * int64(p.height) }

// examineJPEG reads the segments up to the first scan.
// https://www.w3.org/Graphics/JPEG/itu-t81.pdf
func (p *picture) examineJPEG(b *bufio.Reader) error {
	if _, err := b.Discard(2); err != nil {
		return errNoPicture
	}
	for {
		marker, segment, err := jpegSegment(b)
		if err != nil {
			return errNoPicture
		}
		switch {
		case marker == 0xda: // the scan
			return nil
		case marker == 0xe1 && p.turned == 1:
			p.turned = orientation(segment)
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			if len(segment) < 6 || len(segment) < 6+3*int(segment[5]) {
				return errNoPicture
			}
			p.height, p.width = int(binary.BigEndian.Uint16(segment[1:])), int(binary.BigEndian.Uint16(segment[3:]))
			// Each component has at most as many samples as the image pixels. What comes in
			// several scans is held as coefficients until the end.
			perSample := int64(1)
			if marker != 0xc0 && marker != 0xc1 {
				perSample += 4
			}
			samples := p.area() * int64(segment[5])
			p.memory, p.spare = samples*perSample, samples/4*3
		}
	}
}

// jpegSegment reads a marker with what belongs to it.
func jpegSegment(b *bufio.Reader) (marker byte, segment []byte, err error) {
	for marker != 0xff && err == nil {
		marker, err = b.ReadByte()
	}
	for marker == 0xff && err == nil {
		marker, err = b.ReadByte()
	}
	if err != nil || marker == 0 || marker >= 0xd0 && marker <= 0xd9 {
		return marker, nil, err
	}
	var length [2]byte
	if _, err = io.ReadFull(b, length[:]); err != nil {
		return 0, nil, err
	}
	segment = make([]byte, max(int(binary.BigEndian.Uint16(length[:]))-2, 0))
	_, err = io.ReadFull(b, segment)
	return marker, segment, err
}

// orientation returns how an image lies by its Exif data, 1 if that does not say.
// https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf
func orientation(segment []byte) int {
	const magic = "Exif\x00\x00"
	if len(segment) < len(magic)+8 || string(segment[:len(magic)]) != magic {
		return 1
	}
	tiff := segment[len(magic):]
	var order binary.ByteOrder = binary.BigEndian
	if string(tiff[:2]) == "II" {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			return 1
		}
		if order.Uint16(entries) == 0x0112 {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
		entries = entries[12:]
	}
	return 1
}

// examinePNG reads the chunks up to the first with pixels.
// https://www.w3.org/TR/png-3/
func (p *picture) examinePNG(b *bufio.Reader) error {
	b.Discard(8)
	for first := true; ; first = false {
		var head [8]byte
		if _, err := io.ReadFull(b, head[:]); err != nil {
			return errNoPicture
		}
		length, kind := int(binary.BigEndian.Uint32(head[:])), string(head[4:])
		switch {
		case first && (kind != "IHDR" || length != 13), length < 0, length > 1<<30:
			return errNoPicture
		case kind == "IDAT":
			return nil
		case kind == "acTL":
			p.animated = true
		case kind == "IHDR":
			header, err := b.Peek(13)
			if err != nil {
				return errNoPicture
			}
			wide, high := binary.BigEndian.Uint32(header), binary.BigEndian.Uint32(header[4:])
			if wide > 1<<20 || high > 1<<20 {
				return errTooLarge
			}
			p.width, p.height = int(wide), int(high)
			perPixel := int64(4)
			if kind := header[9]; kind == 0 || kind == 3 { // gray, or of a palette
				perPixel = 1
			}
			if header[8] == 16 {
				perPixel *= 2
			}
			if header[12] != 0 { // interlaced: a pass, and the whole
				perPixel *= 2
			}
			p.memory = p.area() * perPixel
		}
		if _, err := b.Discard(length + 4); err != nil {
			return errNoPicture
		}
	}
}
