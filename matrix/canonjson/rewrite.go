package canonjson

import (
	"bytes"
	"slices"
)

// rewriter writes the canonical form of a text that a scanner has validated.
type rewriter struct {
	src     []byte
	out     []byte
	members []member // of the objects being written, innermost last
	scratch []byte
}

// member is a member of an object, as offsets into the output. A member lies
// there without the comma that precedes it.
type member struct {
	start, keyEnd, end uint32
	escaped            bool // the name has escapes
}

// value writes the value that begins at i and returns the index after it.
func (r *rewriter) value(i int) int {
	switch c := r.src[i]; c {
	case '"':
		end, _ := r.string(i)
		return end
	case '{':
		return r.object(i)
	case '[':
		return r.array(i)
	case 't', 'f', 'n':
		end := i + 4
		if c == 'f' {
			end++
		}
		r.out = append(r.out, r.src[i:end]...)
		return end
	default:
		return r.number(i)
	}
}

func (r *rewriter) number(i int) int {
	end, integer := numberEnd(r.src, i)
	switch token := r.src[i:end]; {
	case string(token) == "-0":
		r.out = append(r.out, '0')
	case integer:
		r.out = append(r.out, token...)
	default:
		r.out, _ = appendFloat(r.out, token)
	}
	return end
}

// string writes a string, and reports whether what it wrote has escapes.
func (r *rewriter) string(i int) (end int, escaped bool) {
	end = i + 1 + bytes.IndexByte(r.src[i+1:], '"') + 1
	if bytes.IndexByte(r.src[i:end], '\\') < 0 {
		r.out = append(r.out, r.src[i:end]...)
		return end, false
	}
	r.out = append(r.out, '"')
	i++
	for {
		start := i
		for r.src[i] != '"' && r.src[i] != '\\' {
			i++
		}
		r.out = append(r.out, r.src[start:i]...)
		if r.src[i] == '"' {
			r.out = append(r.out, '"')
			return i + 1, escaped
		}
		c, size := decodeEscape(r.src[i:])
		before := len(r.out)
		r.out = appendRune(r.out, c)
		escaped = escaped || r.out[before] == '\\'
		i += size
	}
}

func (r *rewriter) array(i int) int {
	r.out = append(r.out, '[')
	i = skipSpace(r.src, i+1)
	for r.src[i] != ']' {
		if r.src[i] == ',' {
			r.out = append(r.out, ',')
			i = skipSpace(r.src, i+1)
		}
		i = skipSpace(r.src, r.value(i))
	}
	r.out = append(r.out, ']')
	return i + 1
}

func (r *rewriter) object(i int) int {
	r.out = append(r.out, '{')
	start, first := len(r.out), len(r.members)
	inOrder := true
	i = skipSpace(r.src, i+1)
	for r.src[i] != '}' {
		if r.src[i] == ',' {
			r.out = append(r.out, ',')
			i = skipSpace(r.src, i+1)
		}
		m := member{start: r.offset()}
		i, m.escaped = r.string(i)
		m.keyEnd = r.offset()
		inOrder = inOrder && (len(r.members) == first || r.compare(r.members[len(r.members)-1], m) < 0)
		r.out = append(r.out, ':')
		i = skipSpace(r.src, r.value(skipSpace(r.src, skipSpace(r.src, i)+1)))
		m.end = r.offset()
		r.members = append(r.members, m)
	}
	if !inOrder {
		r.sort(start, r.members[first:])
	}
	r.members = r.members[:first]
	r.out = append(r.out, '}')
	return i + 1
}

// offset is how much is written. No output is longer than four times MaxSize.
func (r *rewriter) offset() uint32 { return uint32(len(r.out)) }

// compare orders members by their names.
func (r *rewriter) compare(a, b member) int {
	if a.escaped || b.escaped {
		return compareStrings(r.out[a.start:a.keyEnd], r.out[b.start:b.keyEnd])
	}
	// The quotes are left out: a name sorts before those it begins.
	return bytes.Compare(r.out[a.start+1:a.keyEnd-1], r.out[b.start+1:b.keyEnd-1])
}

// sort brings the members that were written from start on into order. Of
// several with one name the last written stays.
func (r *rewriter) sort(start int, ms []member) {
	if len(ms) <= fewMembers {
		r.insertionSort(ms)
	} else {
		slices.SortStableFunc(ms, r.compare)
	}
	sorted := slices.Grow(r.scratch[:0], len(r.out)-start)
	for i, m := range ms {
		if i+1 < len(ms) && r.compare(m, ms[i+1]) == 0 {
			continue
		}
		if len(sorted) > 0 {
			sorted = append(sorted, ',')
		}
		sorted = append(sorted, r.out[m.start:m.end]...)
	}
	r.out = append(r.out[:start], sorted...)
	r.scratch = sorted
}

// fewMembers is up to where insertion is the fastest way to sort.
const fewMembers = 24

func (r *rewriter) insertionSort(ms []member) {
	for i := 1; i < len(ms); i++ {
		m, j := ms[i], i
		for j > 0 && r.compare(ms[j-1], m) > 0 {
			j--
		}
		copy(ms[j+1:i+1], ms[j:i])
		ms[j] = m
	}
}
