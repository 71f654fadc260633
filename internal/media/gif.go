package media

import (
	"bufio"
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"io"

	xdraw "golang.org/x/image/draw"
)

// gifFrames is how many frames there are, and how many pixels they have together.
type gifFrames struct {
	count  int
	pixels int64
}

// Animations of more than this are drawn as their first frame.
const (
	mostFrames   = 250
	mostMovement = 40 << 20 // pixels that are decoded, or drawn
)

// moves reports whether an animation is small enough to be drawn as one.
func (p *picture) moves() bool {
	f := p.frames
	return p.animated && p.format == formatGIF && f.count <= mostFrames && f.pixels <= mostMovement && p.area()*int64(f.count) <= 4*mostMovement
}

// examineGIF reads all blocks, but not what they are made of: how many frames there
// are is said nowhere. https://www.w3.org/Graphics/GIF/spec-gif89a.txt
func (p *picture) examineGIF(b *bufio.Reader) error {
	var head [13]byte
	if _, err := io.ReadFull(b, head[:]); err != nil {
		return errNoPicture
	}
	p.width, p.height = int(binary.LittleEndian.Uint16(head[6:])), int(binary.LittleEndian.Uint16(head[8:]))
	if err := skipPalette(b, head[10]); err != nil {
		return errNoPicture
	}
	for {
		kind, err := b.ReadByte()
		switch {
		case err != nil || kind == ';': // a GIF that ends early has the frames that it has
			p.animated = p.frames.count > 1
			p.memory = p.area() * 5
			if p.frames.count == 0 {
				return errNoPicture
			}
			return nil
		case kind == '!':
			b.Discard(1)
		case kind == ',':
			var frame [9]byte
			if _, err := io.ReadFull(b, frame[:]); err != nil {
				continue
			}
			p.frames.count++
			p.frames.pixels += int64(binary.LittleEndian.Uint16(frame[4:])) * int64(binary.LittleEndian.Uint16(frame[6:]))
			if skipPalette(b, frame[8]) == nil {
				b.Discard(1)
			}
		default:
			return errNoPicture
		}
		skipBlocks(b)
	}
}

func skipPalette(b *bufio.Reader, flags byte) error {
	if flags&0x80 == 0 {
		return nil
	}
	_, err := b.Discard(3 << (flags&7 + 1))
	return err
}

func skipBlocks(b *bufio.Reader) {
	for {
		n, err := b.ReadByte()
		if err != nil || n == 0 {
			return
		}
		if _, err := b.Discard(int(n)); err != nil {
			return
		}
	}
}

// drawAnimation makes a small animation of a large one.
func drawAnimation(r io.Reader, l layout) (*gif.GIF, error) {
	all, err := gif.DecodeAll(r)
	if err != nil {
		return nil, errNoPicture
	}
	out := &gif.GIF{LoopCount: all.LoopCount, Delay: all.Delay}
	canvas := image.NewRGBA(image.Rect(0, 0, all.Config.Width, all.Config.Height))
	small := image.NewRGBA(image.Rect(0, 0, l.width, l.height))
	var before *image.RGBA
	for i, frame := range all.Image {
		disposal := all.Disposal[i]
		if disposal == gif.DisposalPrevious {
			before = image.NewRGBA(canvas.Rect)
			copy(before.Pix, canvas.Pix)
		}
		draw.Draw(canvas, frame.Rect, frame, frame.Rect.Min, draw.Over)
		xdraw.ApproxBiLinear.Scale(small, small.Rect, shrink(canvas, l.factor()), l.shrunk(), xdraw.Src, nil)
		out.Image = append(out.Image, reduce(small, frame.Palette))
		// Each frame is a whole, so nothing of the one before may be seen through it.
		out.Disposal = append(out.Disposal, gif.DisposalBackground)
		switch disposal {
		case gif.DisposalBackground:
			draw.Draw(canvas, frame.Rect, image.Transparent, image.Point{}, draw.Src)
		case gif.DisposalPrevious:
			copy(canvas.Pix, before.Pix)
		}
	}
	return out, nil
}

// reduce draws an image with the colours of a palette, of which one is transparent.
func reduce(src *image.RGBA, colours color.Palette) *image.Paletted {
	colours = append(color.Palette(nil), colours...)
	clear := -1
	for i, c := range colours {
		if _, _, _, a := c.RGBA(); a == 0 {
			clear = i
		}
	}
	if clear < 0 && len(colours) < 256 {
		clear = len(colours)
		colours = append(colours, color.RGBA{})
	}
	out := image.NewPaletted(src.Rect, colours)
	var known [1 << 15]int16 // by five bits of each colour, one more than the index
	for y := range src.Rect.Dy() {
		row := src.Pix[y*src.Stride:]
		for x := range src.Rect.Dx() {
			r, g, b, a := row[4*x], row[4*x+1], row[4*x+2], row[4*x+3]
			if a < 128 && clear >= 0 {
				out.Pix[y*out.Stride+x] = uint8(clear)
				continue
			}
			key := int(r>>3)<<10 | int(g>>3)<<5 | int(b>>3)
			if known[key] == 0 {
				known[key] = int16(colours.Index(color.RGBA{r, g, b, 255})) + 1
			}
			out.Pix[y*out.Stride+x] = uint8(known[key] - 1)
		}
	}
	return out
}
