package textindex

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// A page is the lists of the grams that share it, in the order of the grams as unsigned
// numbers: each as the distance from the gram before, the length of its list, and that.

// pages is how many pages a block has for grams, and tagPages how many for tags, which are
// asked for many together.
func (x *Index) pages() uint64    { return uint64(max(1, x.size/16)) }
func (x *Index) tagPages() uint64 { return uint64(max(1, x.size/1024)) }

// page returns on which page the list of a gram is.
func (x *Index) page(g gram) int64 {
	if g < 0 {
		return int64(x.pages() + uint64(-g)%x.tagPages())
	}
	const spread = 0x9e3779b97f4a7c15 // so that grams which begin alike are on different pages
	return int64(uint64(g) * spread >> 32 % x.pages())
}

// A listed is a gram with its list.
type listed struct {
	gram gram
	list []byte
}

func encodePage(lists []listed) []byte {
	slices.SortFunc(lists, func(a, b listed) int { return cmp.Compare(uint64(a.gram), uint64(b.gram)) })
	var page []byte
	last := uint64(0)
	for _, l := range lists {
		page = binary.AppendUvarint(page, uint64(l.gram)-last)
		page = binary.AppendUvarint(page, uint64(len(l.list)))
		page = append(page, l.list...)
		last = uint64(l.gram)
	}
	return page
}

// eachOnPage calls f for the lists of a page, in order. What makes no sense of it is left
// out.
func eachOnPage(page []byte, f func(listed)) {
	last := uint64(0)
	for len(page) > 0 {
		gap, n := binary.Uvarint(page)
		if n <= 0 {
			return
		}
		size, m := binary.Uvarint(page[n:])
		if m <= 0 || size > uint64(len(page)-n-m) {
			return
		}
		page = page[n+m:]
		last += gap
		f(listed{gram(last), page[:size:size]})
		page = page[size:]
	}
}
