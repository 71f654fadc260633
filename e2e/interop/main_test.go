package interop

import (
	"fmt"
	"os"
	"testing"
)

// TestMain starts both servers, which all scenes share.
func TestMain(m *testing.M) {
	os.Exit(play(m))
}

// parley and synapse are what TestMain has started.
var parley, synapse *server

func play(m *testing.M) int {
	dir := os.Getenv("PARLEY_INTEROP_DIR")
	if dir == "" || os.Getenv("PARLEY_INTEROP_BINARY") == "" || os.Getenv("PARLEY_INTEROP_PYTHON") == "" {
		fmt.Fprintln(os.Stderr, "interop: these scenes are played by make interop")
		return 1
	}
	status, err := playIn(m, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	return status
}

func playIn(m *testing.M, dir string) (status int, err error) {
	if err := firstOf(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return 0, err
	}
	a, err := newAuthority(dir + "/ca.pem")
	if err != nil {
		return 0, err
	}
	if parley, err = newParley(dir, a); err != nil {
		return 0, err
	}
	defer parley.stop()
	if synapse, err = newSynapse(dir, a); err != nil {
		return 0, err
	}
	defer synapse.stop()
	status = m.Run()
	if err := firstOf(synapse.stop(), parley.stop()); err != nil {
		return 0, err
	}
	for _, fault := range parley.faults() {
		fmt.Fprintln(os.Stderr, "interop: parley had a fault:", fault)
		status = 1
	}
	if status != 0 {
		fmt.Fprintf(os.Stderr, "interop: what the servers say of it is in %s and %s\n", parley.log, synapse.log)
	}
	return status, nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A failure is that of a program that was run.
type failure struct {
	what string
	err  error
	out  []byte
}

func (f *failure) Error() string { return fmt.Sprintf("%s: %v\n%s", f.what, f.err, f.out) }
