package media

import "encoding/binary"

// columnSums adds up rows of samples, eight columns at a time: nearly all that is
// done to shrink a photo.
type columnSums struct {
	width int
	// lanes are four sums of 16 bits each: those of even columns, and then those of the
	// odd columns between them.
	lanes []uint64
	sums  []uint32
}

// mostRows is how many samples are sure to add up to 16 bits.
const mostRows = 0xffff / 0xff

func newColumnSums(width int) *columnSums {
	eights := (width + 7) / 8
	return &columnSums{width, make([]uint64, 2*eights), make([]uint32, 8*eights)}
}

// of returns the sums of the columns of some rows, which are good until it is called
// again.
func (c *columnSums) of(src []uint8, stride, rows int) []uint32 {
	clear(c.sums)
	for y := 0; y < rows; {
		clear(c.lanes)
		for end := min(y+mostRows, rows); y < end; y++ {
			c.add(src[y*stride:][:c.width])
		}
		c.spread()
	}
	return c.sums[:c.width]
}

func (c *columnSums) add(row []uint8) {
	const even = 0x00ff00ff00ff00ff
	lanes := c.lanes
	for len(row) >= 8 && len(lanes) >= 2 {
		v := binary.LittleEndian.Uint64(row)
		lanes[0] += v & even
		lanes[1] += v >> 8 & even
		row, lanes = row[8:], lanes[2:]
	}
	for i, v := range row {
		lanes[i%2] += uint64(v) << (i / 2 * 16)
	}
}

// spread adds the lanes to the sums.
func (c *columnSums) spread() {
	for i := 0; i < len(c.lanes); i += 2 {
		even, odd := c.lanes[i], c.lanes[i+1]
		sums := c.sums[4*i:][:8]
		for x := 0; x < len(sums); x += 2 {
			sums[x] += uint32(even & 0xffff)
			sums[x+1] += uint32(odd & 0xffff)
			even, odd = even>>16, odd>>16
		}
	}
}
