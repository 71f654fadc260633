package canonjson

import (
	"fmt"
	"strings"
	"testing"
)

// benchText is a message event of about the given size, with its members in
// canonical order or in the order a client might send them.
func benchText(size int, canonical bool) []byte {
	body := strings.Repeat("lorem ipsum dolor ", size/18)
	const format = `{"auth_events":["$urlsafe_base64_encoded_eventid_0000000000000000","$urlsafe_base64_encoded_eventid_1111111111111111"],"content":{"body":%q,"msgtype":"m.text"},"depth":250,"hashes":{"sha256":"thishashcoversallfieldsincasethisisredacted"},"origin_server_ts":1404838188000,"prev_events":["$urlsafe_base64_encoded_eventid_2222222222222222"],"room_id":"!UcYsUzyxTGDxLBEvLy:example.org","sender":"@alice:example.com","signatures":{"example.com":{"ed25519:key_version":"these86bytesofbase64signaturecoveressentialfieldsincludinghashessocancheckredactedpdus"}},"type":"m.room.message","unsigned":{"age":4612}}`
	text := fmt.Sprintf(format, body)
	if !canonical {
		text = `{"type":"m.room.message",` + strings.Replace(text[1:], `"type":"m.room.message",`, "", 1)
	}
	return []byte(text)
}

func BenchmarkCanonical(b *testing.B) {
	for _, canonical := range []bool{true, false} {
		for _, size := range []int{200, 20000} {
			src := benchText(size, canonical)
			b.Run(fmt.Sprintf("canonical=%v/body=%d", canonical, size), func(b *testing.B) {
				b.SetBytes(int64(len(src)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Canonical(src, Strict); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkGetLast(b *testing.B) {
	v := Value(benchText(200, true))
	b.ReportAllocs()
	for b.Loop() {
		if v.Get("type") == nil {
			b.Fatal("absent")
		}
	}
}
