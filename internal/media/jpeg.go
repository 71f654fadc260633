package media

import (
	"bufio"
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math/bits"

	"github.com/gen2brain/jpegn"
)

// decodeJPEG decodes an image of which n by n pixels are to become one. If it can, it
// decodes the image smaller by a factor, which it returns: most of the work is to
// make pixels, and a thumbnail needs few of them.
func decodeJPEG(content source, p *picture, n int) (img image.Image, by int, err error) {
	if n > 1 {
		by = min(8, 1<<(bits.Len(uint(n))-1))
		size, err := content.Seek(0, io.SeekEnd)
		if err == nil {
			_, err = content.Seek(0, io.SeekStart)
		}
		if err != nil {
			return nil, 0, fault{err}
		}
		if size <= p.spare {
			if plain := plainJPEG(content, size); plain != nil {
				img, err = decodeSmaller(plain, by)
			}
			if img != nil && err == nil {
				return img, by, nil
			}
			if _, err = content.Seek(0, io.SeekStart); err != nil {
				return nil, 0, fault{err}
			}
		}
	}
	img, err = jpeg.Decode(bufio.NewReaderSize(content, readAhead))
	return img, 1, err
}

// decodeSmaller decodes a plain JPEG. What is broken in it is left out of the image. It
// is told to make neither all of the pixels nor RGBA of them: for that alone the
// library has code in assembly, which strangers had better not reach.
func decodeSmaller(plain []byte, by int) (img image.Image, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("decoding a JPEG: %v", r)
		}
	}()
	return jpegn.Decode(bytes.NewReader(plain), &jpegn.Options{ScaleDenom: by})
}

// plainJPEG returns what of a file of some size is to be decoded, if it is what cameras
// and clients make: whole, baseline or progressive, grey or YCbCr with colours that
// are sampled as often or less often. Segments that do not matter are left out, so
// that a decoder finds in it what was found here. Nil: it is for the general decoder,
// which may refuse it.
func plainJPEG(content io.Reader, size int64) []byte {
	b := bufio.NewReaderSize(content, readAhead)
	b.Discard(2)
	plain := append(make([]byte, 0, size), 0xff, 0xd8)
	frames := 0
	for marker := byte(0); marker != 0xda; {
		var segment []byte
		var err error
		if marker, segment, err = jpegSegment(b); err != nil {
			return nil
		}
		switch {
		case marker == 0xc0 || marker == 0xc2:
			if frames++; frames > 1 || !plainFrame(segment) {
				return nil
			}
		case marker == 0xc4 || marker == 0xda || marker == 0xdb || marker == 0xdd:
		case marker == 0xee && isAdobe(segment) && segment[11] != 1: // not YCbCr
			return nil
		case marker >= 0xe0 && marker <= 0xef || marker == 0xfe:
			continue
		default:
			return nil
		}
		length := len(segment) + 2
		plain = append(append(plain, 0xff, marker, byte(length>>8), byte(length)), segment...)
	}
	scan := len(plain)
	n, _ := io.ReadFull(b, plain[scan:size])
	plain = plain[:scan+n]
	if frames == 0 || !bytes.Contains(plain[scan:], []byte{0xff, 0xd9}) {
		return nil
	}
	return plain
}

// plainFrame reports whether a frame header is of a plain JPEG.
func plainFrame(segment []byte) bool {
	if len(segment) < 6 || segment[0] != 8 || len(segment) != 6+3*int(segment[5]) {
		return false
	}
	switch components := segment[6:]; len(components) {
	case 3:
		return true
	case 9:
		if components[0] == 'R' && components[3] == 'G' && components[6] == 'B' {
			return false
		}
		switch components[1] { // how often the brightness is sampled, across and down
		case 0x11, 0x12, 0x21, 0x22, 0x41, 0x42:
			return components[4] == 0x11 && components[7] == 0x11
		}
	}
	return false
}

func isAdobe(segment []byte) bool { return len(segment) >= 12 && string(segment[:5]) == "Adobe" }
