package room

import "testing"

func FuzzParseRoomPage(f *testing.F) {
	for _, token := range []string{"", "n1_IWE", "p12_IWE6Yi50ZXN0", "x", "n_", "n1", "n-1_IWE"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		p, err := parseRoomPage(token)
		if err != nil || token == "" {
			return
		}
		if again, err := parseRoomPage(p.String()); err != nil || again != p {
			t.Errorf("%q is %v, whose token is %q, which is %v (%v)", token, p, p, again, err)
		}
	})
}
