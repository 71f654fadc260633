package mail

import (
	"errors"
	"net/mail"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
)

// An Address is a mail address alone, as in alice@example.org, in the form in which
// addresses are compared.
type Address string

// maxAddress is how many bytes an address has: what servers take, and what came
// out longer when its case was folded.
const maxAddress = 254

// ParseAddress returns the address that somebody has written, by the rules of
// https://spec.matrix.org/v1.19/appendices/#e-mail: case is folded, and there is
// nothing beside the address. Addresses with a quoted local part, or whose domain
// is the number of a machine, are refused though mail can be sent to some.
func ParseAddress(text string) (Address, error) {
	folded := cases.Fold().String(text)
	at := strings.LastIndexByte(folded, '@')
	if at < 1 || len(folded) > maxAddress || strings.ContainsFunc(folded, outOfPlace) {
		return "", errors.New("it is not an address as in alice@example.org")
	}
	parsed, err := mail.ParseAddress(folded)
	if err != nil || parsed.Name != "" || parsed.Address != folded {
		return "", errors.New("it is not an address as in alice@example.org")
	}
	if host, err := idna.Lookup.ToASCII(folded[at+1:]); err != nil || host == "" {
		return "", errors.New("its domain is not one")
	}
	return Address(folded), nil
}

// outOfPlace reports whether a character has no place in an address, where RFC 5322
// would allow comments, quotes and routes.
func outOfPlace(r rune) bool {
	return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar || strings.ContainsRune(`"()<>[]:;,\`, r)
}

// Domain is what follows the @.
func (a Address) Domain() string { return string(a[strings.LastIndexByte(string(a), '@')+1:]) }

// wire is the address as a server wants it, whose domain is ASCII.
func (a Address) wire() (string, error) {
	host, err := idna.Lookup.ToASCII(a.Domain())
	if err != nil {
		return "", err
	}
	return string(a[:len(a)-len(a.Domain())]) + host, nil
}
