package media

import (
	"errors"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// together makes a program and what it starts one group, which ends as a whole, and
// at the latest with this process.
func together(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return unix.Kill(-c.Process.Pid, unix.SIGKILL) }
}

// confine sets what a process may use from now on. It has begun, but reads what is
// given to it only after much longer than this takes.
func confine(pid int, l limits) error {
	var errs []error
	for resource, n := range map[int]uint64{
		unix.RLIMIT_CPU: uint64(l.processor / time.Second), unix.RLIMIT_AS: uint64(l.memory), unix.RLIMIT_FSIZE: uint64(l.written),
		unix.RLIMIT_NOFILE: l.files, unix.RLIMIT_CORE: 0,
	} {
		errs = append(errs, unix.Prlimit(pid, resource, &unix.Rlimit{Cur: n, Max: n}, nil))
	}
	if err := errors.Join(errs...); !errors.Is(err, unix.ESRCH) { // it has ended already
		return err
	}
	return nil
}
