package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"parley/internal/config"
)

// databaseLocation is where the database is, as store.Open wants it.
func databaseLocation(c config.Config) string {
	if c.Database != "" {
		return string(c.Database)
	}
	return filepath.Join(c.DataDir, "parley.db")
}

// A lock on a data directory belongs to a process and ends with it, however that
// ends. What lies in the file serves people only.
type lock struct{ file *os.File }

// errLocked: the lock belongs to somebody else.
var errLocked = errors.New("locked")

// makeDir makes a data directory, unless it is there.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the data directory: %w", err)
	}
	return nil
}

// lockDir locks a data directory.
func lockDir(dir string) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "parley.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data directory: %w", err)
	}
	err = lockFile(f)
	if err == nil {
		err = notePid(f)
	} else if errors.Is(err, errLocked) {
		err = fmt.Errorf("%s is in use: another parley serves from it%s", dir, owner(f))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("the data directory: %w", err)
	}
	return &lock{f}, nil
}

func (l *lock) release() error { return l.file.Close() }

func notePid(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// owner says which process has the lock, if it has said so.
func owner(f *os.File) string {
	content, _ := io.ReadAll(io.LimitReader(f, 32))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil {
		return fmt.Sprintf(" (process %d)", pid)
	}
	return ""
}
