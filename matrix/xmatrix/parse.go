package xmatrix

import (
	"errors"
	"fmt"
	"strings"

	"parley/matrix/id"
)

const scheme = "x-matrix"

// Parse reads the value of a header Authorization. It takes what the grammar of
// RFC 9110, section 11.4, allows, in any order and letter case, parameters it does
// not know included, and colons in values without quotes, which servers send
// that are older than the grammar.
func Parse(header string) (Credentials, error) {
	word, rest, _ := strings.Cut(strings.TrimLeft(header, " \t"), " ")
	if !strings.EqualFold(word, scheme) {
		return Credentials{}, errors.New("the authorization scheme is not X-Matrix")
	}
	values, err := parseParams(rest)
	if err != nil {
		return Credentials{}, err
	}
	c := Credentials{Signature: values["sig"]}
	if c.Origin, err = id.ParseServerName(values["origin"]); err != nil {
		return Credentials{}, fmt.Errorf("origin: %w", err)
	}
	if destination, ok := values["destination"]; ok {
		if c.Destination, err = id.ParseServerName(destination); err != nil {
			return Credentials{}, fmt.Errorf("destination: %w", err)
		}
	}
	if c.Key, err = id.ParseKeyID(values["key"]); err != nil {
		return Credentials{}, fmt.Errorf("key: %w", err)
	}
	if c.Signature == "" {
		return Credentials{}, errors.New("there is no sig")
	}
	return c, nil
}

// parseParams reads a list of parameters, whose names are returned in lower case.
func parseParams(s string) (map[string]string, error) {
	values := make(map[string]string)
	for {
		s = strings.TrimLeft(s, " \t,") // elements of a list may be empty
		if s == "" {
			return values, nil
		}
		end := span(s, isToken)
		name := strings.ToLower(s[:end])
		s = strings.TrimLeft(s[end:], " \t")
		if name == "" || !strings.HasPrefix(s, "=") {
			return nil, fmt.Errorf("want a parameter at %.20q", s)
		}
		value, rest, err := parseValue(strings.TrimLeft(s[1:], " \t"))
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("parameter %s is there twice", name)
		}
		values[name] = value
		s = strings.TrimLeft(rest, " \t")
		if s != "" && s[0] != ',' {
			return nil, fmt.Errorf("want a comma at %.20q", s)
		}
	}
}

// parseValue reads a token or a quoted string.
func parseValue(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := span(s, func(c byte) bool { return isToken(c) || strings.IndexByte(":/=[]", c) >= 0 })
		if end == 0 {
			return "", "", errors.New("it has no value")
		}
		return s[:end], s[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			if i++; i == len(s) {
				return "", "", errors.New("it ends in a backslash")
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("its quotes are not closed")
}

// span returns how many bytes at the beginning of a text fit.
func span(s string, fits func(byte) bool) int {
	for i := range len(s) {
		if !fits(s[i]) {
			return i
		}
	}
	return len(s)
}

// isToken says whether a byte may be in a token of RFC 9110, section 5.6.2.
func isToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
