package canonjson

import "testing"

func TestIntegersAreCanonical(t *testing.T) {
	for _, n := range []int64{0, -1, 7, MaxInt, -MaxInt} {
		v := Integer(n)
		if got, ok := v.Int(); !ok || got != n || !IsCanonical(v, Strict) {
			t.Errorf("of %d comes %s, which is %d, %t", n, v, got, ok)
		}
	}
}
