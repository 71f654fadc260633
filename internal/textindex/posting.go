package textindex

import (
	"encoding/binary"
	"math/bits"
)

// A posting list is the places within a block of the texts that have a gram, in
// order: as their distances, or if that is not shorter as a bit for each place.

// encodeList encodes places, which are not empty.
func encodeList(places []uint16, size int) []byte {
	list := make([]byte, 0, min(2*len(places), size/8))
	next := 0
	for _, p := range places {
		list = binary.AppendUvarint(list, uint64(int(p)-next))
		next = int(p) + 1
		if len(list) >= size/8 {
			return encodeBits(places, size)
		}
	}
	return list
}

func encodeBits(places []uint16, size int) []byte {
	list := make([]byte, size/8)
	for _, p := range places {
		list[p/8] |= 1 << (p % 8)
	}
	return list
}

// A places is a set of places within a block, a bit for each.
type places []uint64

func newPlaces(size int) places { return make(places, size/64) }

func (s places) add(p int) { s[p/64] |= 1 << (p % 64) }

// and keeps those that are in both.
func (s places) and(o places) {
	for i := range s {
		s[i] &= o[i]
	}
}

func (s places) count() (n int) {
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// each calls f for each place, in order.
func (s places) each(f func(p int)) {
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			f(64*i + bits.TrailingZeros64(word))
		}
	}
}

// decodeList adds the places of a list. What makes no sense of it is left out.
func (s places) decodeList(list []byte) {
	if len(list) == 8*len(s) {
		for i := range s {
			s[i] |= binary.LittleEndian.Uint64(list[8*i:])
		}
		return
	}
	next := uint64(0)
	for len(list) > 0 {
		gap, n := binary.Uvarint(list)
		if n <= 0 || gap >= uint64(64*len(s)) || next+gap >= uint64(64*len(s)) {
			return
		}
		s.add(int(next + gap))
		next += gap + 1
		list = list[n:]
	}
}

// encode encodes the places as a list, nil if there are none.
func (s places) encode() []byte {
	var list []uint16
	s.each(func(p int) { list = append(list, uint16(p)) })
	if list == nil {
		return nil
	}
	return encodeList(list, 64*len(s))
}
