package canonjson

import "slices"

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
	start, keyEnd, end int
}

// value writes the value that begins at i and returns the index after it.
func (r *rewriter) value(i int) int {
	switch c := r.src[i]; c {
	case '"':
		return r.string(i)
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

func (r *rewriter) string(i int) int {
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
			return i + 1
		}
		c, size := decodeEscape(r.src[i:])
		r.out = appendRune(r.out, c)
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
	i = skipSpace(r.src, i+1)
	for r.src[i] != '}' {
		if r.src[i] == ',' {
			r.out = append(r.out, ',')
			i = skipSpace(r.src, i+1)
		}
		m := member{start: len(r.out)}
		i = skipSpace(r.src, r.string(i))
		m.keyEnd = len(r.out)
		r.out = append(r.out, ':')
		i = skipSpace(r.src, r.value(skipSpace(r.src, i+1)))
		m.end = len(r.out)
		r.members = append(r.members, m)
	}
	if ms := r.members[first:]; !slices.IsSortedFunc(ms, r.compareStrictly) {
		r.sort(start, ms)
	}
	r.members = r.members[:first]
	r.out = append(r.out, '}')
	return i + 1
}

func (r *rewriter) key(m member) []byte { return r.out[m.start:m.keyEnd] }

func (r *rewriter) compare(a, b member) int { return compareStrings(r.key(a), r.key(b)) }

// compareStrictly calls two members with one name out of order, whichever
// comes first.
func (r *rewriter) compareStrictly(a, b member) int {
	if c := r.compare(a, b); c != 0 {
		return c
	}
	return -1
}

// sort brings the members that were written from start on into order. Of
// several with one name the last written stays.
func (r *rewriter) sort(start int, ms []member) {
	slices.SortStableFunc(ms, r.compare)
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
