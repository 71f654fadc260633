package media

import (
	"bufio"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"io"
)

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

// drawGIF makes a small animation of a large one.
func drawGIF(out io.Writer, r io.Reader, l layout) error {
	all, err := gif.DecodeAll(r)
	if err != nil {
		return errNoPicture
	}
	frames := func(yield func(frame, error) bool) {
		for i, m := range all.Image {
			f := frame{image: m, rect: m.Rect, over: true}
			switch all.Disposal[i] {
			case gif.DisposalBackground:
				f.dispose = clears
			case gif.DisposalPrevious:
				f.dispose = comesBack
			}
			if !yield(f, nil) {
				return
			}
		}
	}
	drawn := &gif.GIF{LoopCount: all.LoopCount, Delay: all.Delay}
	for small := range shrunkFrames(all.Config.Width, all.Config.Height, l, frames) {
		drawn.Image = append(drawn.Image, reduce(small, all.Image[len(drawn.Image)].Palette))
		// Each frame is a whole, so nothing of the one before may be seen through it.
		drawn.Disposal = append(drawn.Disposal, gif.DisposalBackground)
	}
	return gif.EncodeAll(out, drawn)
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
