package media

import (
	"image"
	"image/color"
	"image/draw"
)

// shrink makes an image smaller by a whole factor, each pixel being the mean of
// those in whose place it is. Rows and columns that are left over are left out. It
// goes over the planes as they were decoded: to make pixels of all of them first
// takes several times as long.
func shrink(src image.Image, n int) image.Image {
	b := src.Bounds()
	w, h := b.Dx()/n, b.Dy()/n
	if n <= 1 || w == 0 || h == 0 {
		return src
	}
	switch src := src.(type) {
	case *image.YCbCr:
		return shrinkYCbCr(src, n, w, h)
	case *image.Gray:
		out := image.NewGray(image.Rect(0, 0, w, h))
		shrinkPlane(out.Pix, w, h, src.Pix[src.PixOffset(b.Min.X, b.Min.Y):], src.Stride, b.Dx(), b.Dy(), n, 1, 1)
		return out
	case *image.RGBA:
		out := image.NewRGBA(image.Rect(0, 0, w, h))
		for y := range h {
			shrinkRow(out.Pix[y*out.Stride:][:4*w], src.Pix[src.PixOffset(b.Min.X, b.Min.Y+y*n):], src.Stride, n)
		}
		return out
	}
	return shrinkOther(src, n, w, h)
}

// shrinkYCbCr leaves no plane coarser than the others.
func shrinkYCbCr(src *image.YCbCr, n, w, h int) image.Image {
	out := image.NewYCbCr(image.Rect(0, 0, w, h), image.YCbCrSubsampleRatio444)
	b := src.Rect
	across, down := 1, 1
	switch src.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		across = 2
	case image.YCbCrSubsampleRatio420:
		across, down = 2, 2
	case image.YCbCrSubsampleRatio440:
		down = 2
	case image.YCbCrSubsampleRatio411:
		across = 4
	case image.YCbCrSubsampleRatio410:
		across, down = 4, 2
	}
	shrinkPlane(out.Y, w, h, src.Y[src.YOffset(b.Min.X, b.Min.Y):], src.YStride, b.Dx(), b.Dy(), n, 1, 1)
	cw, ch := (b.Dx()+across-1)/across, (b.Dy()+down-1)/down
	at := src.COffset(b.Min.X, b.Min.Y)
	shrinkPlane(out.Cb, w, h, src.Cb[at:], src.CStride, cw, ch, n, across, down)
	shrinkPlane(out.Cr, w, h, src.Cr[at:], src.CStride, cw, ch, n, across, down)
	return out
}

// shrinkPlane makes a plane of w by h means. The plane that it reads is of sw by sh,
// each sample standing for so many pixels across and down.
func shrinkPlane(dst []uint8, w, h int, src []uint8, stride, sw, sh, n, across, down int) {
	sums := newColumnSums(sw)
	edges := make([]int, w+1)
	for x := range edges {
		edges[x] = min(x*n/across, sw)
	}
	for y := range h {
		top, bottom := min(y*n/down, sh-1), min((y+1)*n/down, sh)
		bottom = max(bottom, top+1)
		columns := sums.of(src[top*stride:], stride, bottom-top)
		for x := range w {
			left, right := min(edges[x], sw-1), edges[x+1]
			if right <= left {
				right = left + 1
			}
			sum := uint32(0)
			for _, v := range columns[left:right] {
				sum += v
			}
			count := uint32((right - left) * (bottom - top))
			dst[y*w+x] = uint8((sum + count/2) / count)
		}
	}
}

// shrinkRow makes a row of means of n rows, which are premultiplied.
func shrinkRow(dst, src []uint8, stride, n int) {
	count := uint32(n * n)
	for x := 0; 4*x < len(dst); x++ {
		var r, g, b, a uint32
		for y := range n {
			row := src[y*stride+4*x*n:][:4*n]
			for i := 0; i < len(row); i += 4 {
				r, g, b, a = r+uint32(row[i]), g+uint32(row[i+1]), b+uint32(row[i+2]), a+uint32(row[i+3])
			}
		}
		dst[4*x], dst[4*x+1], dst[4*x+2], dst[4*x+3] = uint8(r/count), uint8(g/count), uint8(b/count), uint8(a/count)
	}
}

// shrinkOther goes over any image band by band.
func shrinkOther(src image.Image, n, w, h int) image.Image {
	b := src.Bounds()
	band := image.NewRGBA(image.Rect(0, 0, w*n, n))
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	paletted, _ := src.(*image.Paletted)
	var colours [256][4]uint8
	if paletted != nil {
		for i, c := range paletted.Palette {
			c := color.RGBAModel.Convert(c).(color.RGBA)
			colours[i] = [4]uint8{c.R, c.G, c.B, c.A}
		}
	}
	for y := range h {
		if paletted != nil {
			for i := range n {
				row := paletted.Pix[paletted.PixOffset(b.Min.X, b.Min.Y+y*n+i):][:w*n]
				for x, index := range row {
					copy(band.Pix[i*band.Stride+4*x:], colours[index][:])
				}
			}
		} else {
			draw.Draw(band, band.Rect, src, image.Pt(b.Min.X, b.Min.Y+y*n), draw.Src)
		}
		shrinkRow(out.Pix[y*out.Stride:][:4*w], band.Pix, band.Stride, n)
	}
	return out
}

// turn lays an image as its orientation says.
func turn(src *image.RGBA, orientation int) *image.RGBA {
	if orientation <= 1 {
		return src
	}
	w, h := src.Rect.Dx(), src.Rect.Dy()
	out := image.NewRGBA(src.Rect)
	if orientation >= 5 {
		out = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		for x := range w {
			tx, ty := x, y
			switch orientation {
			case 2:
				tx = w - 1 - x
			case 3:
				tx, ty = w-1-x, h-1-y
			case 4:
				ty = h - 1 - y
			case 5:
				tx, ty = y, x
			case 6:
				tx, ty = h-1-y, x
			case 7:
				tx, ty = h-1-y, w-1-x
			case 8:
				tx, ty = y, w-1-x
			}
			copy(out.Pix[out.PixOffset(tx, ty):][:4], src.Pix[src.PixOffset(x, y):][:4])
		}
	}
	return out
}
