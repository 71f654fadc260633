package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// A Warning is something that works and should not stay so: where it stands,
// and what it is.
type Warning string

// Load is [Parse] with the file that --config names, and with the secrets that
// are in files. If the configuration file cannot be read, that is the only
// error: the others would depend on what is in it.
func Load(environ, args []string) (Config, []Warning, error) {
	given := scanArgs(args)
	if given.help {
		return Config{}, nil, ErrHelp
	}
	var content []byte
	if given.config != "" {
		var err error
		if content, _, err = read(given.config); err != nil {
			return Config{}, nil, fmt.Errorf("--config: %w", err)
		}
	}
	c, secrets, err := Parse(given.config, content, environ, args)
	problems := []error{err}
	var warnings []Warning
	for _, s := range secrets {
		content, mode, err := read(s.Path)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", s.Where, err))
			continue
		}
		if readableByOthers(mode) {
			warnings = append(warnings, Warning(fmt.Sprintf("%s: the file %s has mode %04o, so others can read it; 0600 is advised", s.Where, show(s.Path), mode.Perm())))
		}
		problems = append(problems, c.SetSecret(s, content))
	}
	if err := errors.Join(problems...); err != nil {
		return Config{}, nil, err
	}
	return c, warnings, nil
}

// read returns at most a byte more than maxFileSize, so that Parse and SetSecret
// can tell that it is too long.
func read(path string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	return content, info.Mode(), err
}

// readableByOthers is false on Windows, where the mode says nothing of it.
func readableByOthers(mode fs.FileMode) bool {
	return runtime.GOOS != "windows" && mode&0o044 != 0
}
