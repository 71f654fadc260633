package id

import "strings"

// A KeyID is "algorithm:version", such as "ed25519:auto": the name of a signing
// key among those of one server, user or device.
//
// https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys
type KeyID string

var keyVersionChars = chars(lower, upper, digits, "_")

// ParseKeyID accepts any algorithm and version that are not empty, valid UTF-8
// without NUL. The version may hold anything, colons included, because the
// versions of device and cross-signing keys are device IDs and public keys, and
// a signature under a strange key is no reason to refuse what it signs.
func ParseKeyID(s string) (KeyID, error) {
	return parse[KeyID](KindKeyID, s, checkKeyID)
}

// ParseStrictKeyID accepts what the specification says of the signing keys of
// servers: a version of a-z, A-Z, 0-9 and '_'.
func ParseStrictKeyID(s string) (KeyID, error) {
	return parse[KeyID](KindKeyID, s, checkServerKeyID)
}

// NewKeyID builds a key ID that [ParseStrictKeyID] accepts.
func NewKeyID(algorithm, version string) (KeyID, error) {
	return ParseStrictKeyID(algorithm + ":" + version)
}

func checkKeyID(s string) string {
	if reason := checkLength(s); reason != "" {
		return reason
	}
	algorithm, version, ok := strings.Cut(s, ":")
	switch {
	case !ok:
		return "no ':' between algorithm and version"
	case algorithm == "":
		return "algorithm is empty"
	case version == "":
		return "version is empty"
	}
	return checkText(s, 0)
}

func checkServerKeyID(s string) string {
	if reason := checkKeyID(s); reason != "" {
		return reason
	}
	algorithm, version, _ := strings.Cut(s, ":")
	return checkChars(version, len(algorithm)+1, &keyVersionChars, "version")
}

// Algorithm returns what precedes the first colon.
func (k KeyID) Algorithm() string {
	algorithm, _, ok := strings.Cut(string(k), ":")
	if !ok {
		return ""
	}
	return algorithm
}

// Version returns what follows the first colon.
func (k KeyID) Version() string {
	_, version, _ := strings.Cut(string(k), ":")
	return version
}
