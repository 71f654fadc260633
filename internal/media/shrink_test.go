package media

import (
	"testing"

	"pgregory.net/rapid"
)

// TestAShrunkPlaneHasTheMeans of the samples that stand for each pixel, whatever the
// plane.
func TestAShrunkPlaneHasTheMeans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		across, down := rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "across"), rapid.IntRange(1, 2).Draw(t, "down")
		n, w, h := rapid.IntRange(1, 600).Draw(t, "n"), rapid.IntRange(1, 5).Draw(t, "w"), rapid.IntRange(1, 3).Draw(t, "h")
		// What is left over of the image belongs to no pixel.
		sw := (w*n + rapid.IntRange(0, n-1).Draw(t, "columns left over") + across - 1) / across
		sh := (h*n + rapid.IntRange(0, n-1).Draw(t, "rows left over") + down - 1) / down
		stride := sw + rapid.IntRange(0, 9).Draw(t, "beside")
		least, step := rapid.Byte().Draw(t, "least"), rapid.Byte().Draw(t, "step")
		src := make([]uint8, stride*sh)
		for i := range src {
			src[i] = max(least, uint8(i)*step)
		}
		got := make([]uint8, w*h)
		shrinkPlane(got, w, h, src, stride, sw, sh, n, across, down)
		for y := range h {
			for x := range w {
				sum, count := 0, 0
				top, left := min(y*n/down, sh-1), min(x*n/across, sw-1)
				for sy := top; sy < max(top+1, min((y+1)*n/down, sh)); sy++ {
					for sx := left; sx < max(left+1, min((x+1)*n/across, sw)); sx++ {
						sum, count = sum+int(src[sy*stride+sx]), count+1
					}
				}
				if want := uint8((sum + count/2) / count); got[y*w+x] != want {
					t.Fatalf("%d,%d: got %d, want %d", x, y, got[y*w+x], want)
				}
			}
		}
	})
}
