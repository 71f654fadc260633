package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"parley/matrix/mxerr"
)

// A Hash is a password as it is stored: argon2id in the PHC string format,
// https://github.com/P-H-C/phc-string-format. The empty Hash is of no password
// and matches none.
type Hash string

// Argon2 says what hashing a password costs.
type Argon2 struct {
	Memory  uint32 // in KiB
	Time    uint32 // how often the memory is gone over
	Threads uint8
	// Concurrency is how many passwords are hashed at once. Others wait, so
	// that many logins at once take time and not memory. 0 means one for each
	// processor, but 8 at most.
	Concurrency int
}

// DefaultArgon2 is what the OWASP recommends where memory matters:
// https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
func DefaultArgon2() Argon2 { return Argon2{Memory: 19 << 10, Time: 2, Threads: 1} }

// A PasswordPolicy is what new passwords have to be like.
type PasswordPolicy struct {
	// MinLength is the least number of characters; 0 means 8.
	MinLength int
	// MinKinds is of how many kinds the characters have to be: lower case, upper
	// case, digits, and all others.
	MinKinds int
}

// maxPassword is how many bytes a password can have.
const maxPassword = 512

const (
	saltLength = 16
	keyLength  = 32
)

// hasher hashes and compares passwords.
type hasher struct {
	cost  Argon2
	slots chan struct{} // has one element for each password being hashed
	decoy Hash          // what passwords are compared with where there is none
}

func newHasher(cost Argon2) *hasher {
	concurrency := cost.Concurrency
	if cost.Memory == 0 && cost.Time == 0 && cost.Threads == 0 {
		cost = DefaultArgon2()
	}
	if concurrency == 0 {
		concurrency = min(runtime.GOMAXPROCS(0), 8)
	}
	h := &hasher{cost: cost, slots: make(chan struct{}, concurrency)}
	h.decoy = hashed{cost, random(saltLength), random(keyLength)}.encode()
	return h
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

// HashPassword checks a new password against the policy and hashes it. The hash
// of the empty password, which is that there is none, is empty.
func (a *Accounts) HashPassword(ctx context.Context, password string) (Hash, error) {
	if password == "" {
		return "", nil
	}
	if err := a.policy.check(password); err != nil {
		return "", err
	}
	return a.passwords.hash(ctx, password)
}

// check refuses a password that is too weak. As length is what makes a password
// hard to guess, there are no demands on its characters by default.
func (p PasswordPolicy) check(password string) error {
	least := p.MinLength
	if least == 0 {
		least = 8
	}
	switch {
	case len(password) > maxPassword:
		return mxerr.New(mxerr.InvalidParam, "The password is longer than %d bytes", maxPassword)
	case utf8.RuneCountInString(password) < least:
		return mxerr.New(mxerr.WeakPassword, "The password has to have %d characters or more", least)
	case kinds(password) < p.MinKinds:
		return mxerr.New(mxerr.WeakPassword, "The password has to have characters of %d of the kinds lower case, upper case, digits and others", p.MinKinds)
	}
	return nil
}

// kinds counts the kinds of characters that a password has.
func kinds(password string) int {
	var lower, upper, digit, other int
	for _, r := range password {
		switch {
		case unicode.IsLower(r):
			lower = 1
		case unicode.IsUpper(r):
			upper = 1
		case unicode.IsDigit(r):
			digit = 1
		default:
			other = 1
		}
	}
	return lower + upper + digit + other
}

func (h *hasher) hash(ctx context.Context, password string) (Hash, error) {
	salt := random(saltLength)
	key, err := h.key(ctx, password, salt, h.cost, keyLength)
	if err != nil {
		return "", err
	}
	return hashed{h.cost, salt, key}.encode(), nil
}

// matches reports whether a password is the one that was hashed. It does the
// same work, in vain, for the empty hash.
func (h *hasher) matches(ctx context.Context, hash Hash, password string) (bool, error) {
	if len(password) > maxPassword {
		return false, nil
	}
	if hash == "" {
		hash = h.decoy
	}
	want, err := parseHash(hash)
	if err != nil {
		return false, fmt.Errorf("reading a password hash: %w", err)
	}
	key, err := h.key(ctx, password, want.salt, want.cost, uint32(len(want.key)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(key, want.key) == 1, nil
}

func (h *hasher) key(ctx context.Context, password string, salt []byte, cost Argon2, length uint32) ([]byte, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(password), salt, cost.Time, cost.Memory, cost.Threads, length), nil
}

// hashed is a Hash taken apart.
type hashed struct {
	cost      Argon2
	salt, key []byte
}

func (p hashed) encode() Hash {
	return Hash(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		p.cost.Memory, p.cost.Time, p.cost.Threads,
		base64.RawStdEncoding.EncodeToString(p.salt), base64.RawStdEncoding.EncodeToString(p.key)))
}

// The most that a stored hash may cost to check: a hash can come from another
// server's database.
const (
	maxMemory = 1 << 20 // KiB
	maxTime   = 64
)

func parseHash(hash Hash) (hashed, error) {
	var p hashed
	parts := strings.Split(string(hash), "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return p, errors.New("it is not argon2id in the PHC format")
	}
	if parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, fmt.Errorf("its version %.20q is unknown", parts[2])
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.cost.Memory, &p.cost.Time, &p.cost.Threads); err != nil {
		return p, fmt.Errorf("reading its parameters: %w", err)
	}
	if p.cost.Memory > maxMemory || p.cost.Time < 1 || p.cost.Time > maxTime || p.cost.Threads < 1 {
		return p, fmt.Errorf("its parameters %.40q are out of range", parts[3])
	}
	var err error
	if p.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return p, fmt.Errorf("reading its salt: %w", err)
	}
	if p.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return p, fmt.Errorf("reading its key: %w", err)
	}
	if len(p.key) < saltLength || len(p.key) > 2*keyLength {
		return p, fmt.Errorf("its key has %d bytes", len(p.key))
	}
	if p.encode() != hash {
		return p, errors.New("it is not as it would be written")
	}
	return p, nil
}
