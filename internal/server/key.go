package server

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"parley/internal/durable"
	"parley/matrix/id"
	"parley/matrix/signing"
)

func keyPath(dir string) string { return filepath.Join(dir, "signing.key") }

// signingKey reads the key in a data directory, or makes one if there is none.
func signingKey(dir string) (key signing.Key, made bool, err error) {
	path := keyPath(dir)
	key, err = readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		made = true
		key, err = makeKey(path)
	}
	if err != nil {
		return signing.Key{}, false, fmt.Errorf("the signing key: %w", err)
	}
	return key, made, nil
}

// readKey reads a key of which nobody but its owner knows. No error repeats
// what is in the file.
func readKey(path string) (signing.Key, error) {
	content, err := readSecret(path)
	if err != nil {
		return signing.Key{}, err
	}
	key, err := parseKey(content)
	if err != nil {
		return signing.Key{}, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// readSecret reads a file that has a key in it, and that only its owner may read.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return "", fmt.Errorf("%s is not a file", path)
	case info.Size() > 1024:
		return "", fmt.Errorf("%s is too long for a key", path)
	case runtime.GOOS != "windows" && mode.Perm()&0o077 != 0:
		return "", fmt.Errorf("%s has mode %04o: others than its owner could read it, and speak for this server; "+
			"after chmod 600 it is used (make a new one if somebody may have read it)", path, mode.Perm())
	}
	content, err := os.ReadFile(path)
	return string(content), err
}

func parseKey(content string) (signing.Key, error) {
	words := strings.Fields(content)
	if len(words) != 3 || strings.Contains(strings.TrimSpace(content), "\n") {
		return signing.Key{}, errors.New("want one line: the algorithm, the version and the seed in base64")
	}
	keyID, err := id.NewKeyID(words[0], words[1])
	if err != nil {
		return signing.Key{}, err
	}
	seed, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(words[2], "="))
	if err != nil {
		return signing.Key{}, errors.New("the seed is not in base64")
	}
	return signing.NewKey(keyID, seed)
}

// makeKey makes a key and writes it, whole or not at all.
func makeKey(path string) (signing.Key, error) {
	keyID, err := id.NewKeyID("ed25519", "a_"+rand.Text()[:6])
	if err != nil {
		return signing.Key{}, err
	}
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails
	line := fmt.Sprintf("%s %s %s\n", keyID.Algorithm(), keyID.Version(), base64.RawStdEncoding.EncodeToString(seed))
	if err := durable.WriteSecret(path, line); err != nil {
		return signing.Key{}, err
	}
	return signing.NewKey(keyID, seed)
}
