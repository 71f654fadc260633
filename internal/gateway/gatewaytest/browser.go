// Package gatewaytest has what tests of Web Push need at the other end: a browser that
// reads what it is sent.
package gatewaytest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"testing"
)

// A Browser has subscribed to Web Push.
type Browser struct {
	private *ecdh.PrivateKey
	auth    []byte
}

// NewBrowser returns a browser with keys of its own.
func NewBrowser(t testing.TB) *Browser {
	t.Helper()
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{private, []byte("sixteen bytes !!")}
}

// Key and Auth are what the browser tells those who want to send it something.
func (b *Browser) Key() string {
	return base64.RawURLEncoding.EncodeToString(b.private.PublicKey().Bytes())
}

func (b *Browser) Auth() string { return base64.RawURLEncoding.EncodeToString(b.auth) }

// Read decrypts the body of a request.
// https://www.rfc-editor.org/rfc/rfc8291#section-3.4
func (b *Browser) Read(body []byte) (message []byte, err error) {
	const header = 16 + 4 + 1 + 65
	if len(body) <= header || body[20] != 65 {
		return nil, errors.New("there is no header")
	}
	salt, sender := body[:16], body[21:header]
	public, err := ecdh.P256().NewPublicKey(sender)
	if err != nil {
		return nil, err
	}
	secret, err := b.private.ECDH(public)
	if err != nil {
		return nil, err
	}
	derive := func(secret, salt []byte, info string, n int) []byte {
		key, failed := hkdf.Key(sha256.New, secret, salt, info, n)
		err = errors.Join(err, failed)
		return key
	}
	ikm := derive(secret, b.auth, "WebPush: info\x00"+string(b.private.PublicKey().Bytes())+string(sender), 32)
	key, nonce := derive(ikm, salt, "Content-Encoding: aes128gcm\x00", 16), derive(ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, body[header:], nil)
	if err != nil {
		return nil, err
	}
	plain, ok := bytes.CutSuffix(bytes.TrimRight(plain, "\x00"), []byte{2})
	if !ok {
		return nil, errors.New("the message does not end with its delimiter")
	}
	return plain, nil
}
