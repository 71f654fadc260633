package account

import (
	"crypto/rand"
	"crypto/sha256"
	"hash/crc32"
	"strings"
)

// A token of ours is the prefix, random text, and a checksum of both:
//
//	parley_7VLLR7KPPGZQTDI4XVMSPX5ZBI_0U4GQDS
//
// By the prefix people and programs recognise one that was published by mistake,
// and the checksum tells without a query that a token was mistyped or made up.
const (
	tokenPrefix    = "parley_"
	checksumLength = 7
	maxToken       = 512
)

// digest is a token as it is stored.
type digest [sha256.Size]byte

func (d digest) bytes() []byte { return d[:] }

func newToken() (token string, d digest) {
	token = tokenPrefix + rand.Text()
	token += "_" + checksum(token)
	return token, digestOf(token)
}

func digestOf(token string) digest { return sha256.Sum256([]byte(token)) }

// checksum is the CRC-32 of a text in seven base32 digits.
func checksum(text string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUV"
	sum := crc32.ChecksumIEEE([]byte(text))
	b := make([]byte, checksumLength)
	for i := range b {
		b[len(b)-1-i] = digits[sum%32]
		sum /= 32
	}
	return string(b)
}

// plausible reports whether a token may be one that was given out. Those without
// the prefix may: they can come from the server that this one has replaced.
func plausible(token string) bool {
	if len(token) > maxToken {
		return false
	}
	if !strings.HasPrefix(token, tokenPrefix) {
		return true
	}
	at := strings.LastIndexByte(token, '_')
	return checksum(token[:at]) == token[at+1:]
}
