// Package durable makes files that are there, and whole, after a power cut: keys and
// the like, which a server cannot do without. A file's bytes and its name in a directory
// become durable apart from each other; here is what has to be done about either. What
// comes in a stream, and is large, internal/media writes itself.
package durable

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// WriteSecret makes a file that only its owner may read, or replaces it. Once it has
// its name, it is complete; when WriteSecret returns, it is on disk.
func WriteSecret(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable, where there is such a thing. A file
// that is synced itself can still have lost its name.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
