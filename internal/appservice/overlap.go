package appservice

import (
	"regexp/syntax"
	"unicode"
)

// mostPairs is how many pairs of places in two regular expressions are looked at. Two
// that are so intricate that this is not enough are taken for disjoint.
const mostPairs = 1 << 20

// A pair is a place in each of two programs where both may be after one text.
type pair struct{ a, b spot }

// A spot is an instruction that wants a rune, or one of those below.
type spot int64

const (
	anything spot = -1 // it has matched, whatever follows
	nothing  spot = -2 // it has matched, if nothing follows
)

// overlap reports whether there is a text that two programs match from its
// beginning on: it goes through both side by side.
func overlap(a, b *syntax.Prog) bool {
	seen := make(map[pair]bool)
	var todo []pair
	add := func(as, bs []spot) {
		for _, x := range as {
			for _, y := range bs {
				if p := (pair{x, y}); !seen[p] {
					seen[p] = true
					todo = append(todo, p)
				}
			}
		}
	}
	add(reach(a, uint32(a.Start), true), reach(b, uint32(b.Start), true))
	for len(todo) > 0 && len(seen) < mostPairs {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		switch {
		case p.a < 0 && p.b < 0:
			return true
		case p.a == nothing || p.b == nothing:
		case p.a == anything:
			add([]spot{anything}, reach(b, b.Inst[p.b].Out, false))
		case p.b == anything:
			add(reach(a, a.Inst[p.a].Out, false), []spot{anything})
		default:
			if x, y := &a.Inst[p.a], &b.Inst[p.b]; common(x, y) {
				add(reach(a, x.Out, false), reach(b, y.Out, false))
			}
		}
	}
	return false
}

// reach returns where a program may be from an instruction on before it takes the
// next rune.
func reach(p *syntax.Prog, from uint32, begin bool) (spots []spot) {
	type step struct {
		pc    uint32
		ended bool // by $: no rune may follow
	}
	seen := make(map[step]bool)
	todo := []step{{from, false}}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[s] {
			continue
		}
		seen[s] = true
		switch in := &p.Inst[s.pc]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			todo = append(todo, step{in.Out, s.ended}, step{in.Arg, s.ended})
		case syntax.InstCapture, syntax.InstNop:
			todo = append(todo, step{in.Out, s.ended})
		case syntax.InstEmptyWidth:
			is := syntax.EmptyOp(in.Arg)
			if begin || is&(syntax.EmptyBeginText|syntax.EmptyBeginLine) == 0 {
				ends := is&(syntax.EmptyEndText|syntax.EmptyEndLine) != 0
				todo = append(todo, step{in.Out, s.ended || ends}) // \b may be or not
			}
		case syntax.InstMatch:
			if s.ended {
				spots = append(spots, nothing)
			} else {
				spots = append(spots, anything)
			}
		case syntax.InstFail:
		default:
			if !s.ended {
				spots = append(spots, spot(s.pc))
			}
		}
	}
	return spots
}

// common reports whether there is a rune that two instructions take. If there is,
// the first rune of one of the ranges of either is such.
func common(x, y *syntax.Inst) bool {
	for _, of := range [...]*syntax.Inst{x, y} {
		for _, r := range firsts(of) {
			if x.MatchRune(r) && y.MatchRune(r) {
				return true
			}
		}
	}
	return false
}

func firsts(in *syntax.Inst) (runes []rune) {
	switch in.Op {
	case syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return []rune{0}
	}
	if len(in.Rune) == 1 {
		r := in.Rune[0]
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			runes = append(runes, f)
		}
		return append(runes, r)
	}
	for i := 0; i < len(in.Rune); i += 2 {
		runes = append(runes, in.Rune[i])
	}
	return runes
}
