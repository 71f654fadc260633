package loadgen

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Usage is what processes used while a scenario ran.
type Usage struct {
	// Cores is the processor time by the time that passed: 1 is one core that was
	// busy throughout.
	Cores float64 `json:"cores"`
	// RSS is the resident memory at the end, and Before that at the beginning,
	// in bytes.
	RSS    int64 `json:"rss_bytes"`
	Before int64 `json:"rss_bytes_before"`
}

// reading is the processor time and memory of processes at a moment.
type reading struct {
	cpu time.Duration
	rss int64
}

// readProcess reads what Linux says of a process, a number or "self":
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
func readProcess(pid string) (reading, error) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return reading{}, err
	}
	return parseStat(text)
}

func parseStat(text []byte) (reading, error) {
	// The name of the program may contain anything, parentheses too.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const user, system, pages = 11, 12, 21 // places behind the name
	const tick = 10 * time.Millisecond     // the same on all architectures that Go runs on
	var numbers [pages + 1]int64
	if len(fields) < len(numbers) {
		return reading{}, fmt.Errorf("%.80q is no statistics of a process", text)
	}
	for _, i := range []int{user, system, pages} {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return reading{}, fmt.Errorf("the statistics of a process: %w", err)
		}
		numbers[i] = n
	}
	return reading{
		cpu: time.Duration(numbers[user]+numbers[system]) * tick,
		rss: numbers[pages] * int64(os.Getpagesize()),
	}, nil
}

// meter tells what the server and the generator use from a moment on.
type meter struct {
	processes []int
	began     time.Time
	server    reading
	own       reading
	ownKnown  bool
}

func (g *Generator) measure() (*meter, error) {
	m := &meter{processes: g.o.Processes}
	var err error
	if m.server, err = m.readServer(); err != nil {
		return nil, err
	}
	m.own, err = readProcess("self")
	m.ownKnown = err == nil // only Linux tells
	m.began = time.Now()
	return m, nil
}

func (m *meter) readServer() (reading, error) {
	var sum reading
	for _, pid := range m.processes {
		r, err := readProcess(strconv.Itoa(pid))
		if err != nil {
			return sum, fmt.Errorf("reading what the server uses: %w", err)
		}
		sum.cpu += r.cpu
		sum.rss += r.rss
	}
	return sum, nil
}

// stop writes into a row how long it took, and what was used.
func (m *meter) stop(row *Row) error {
	passed := time.Since(m.began)
	row.Seconds = passed.Seconds()
	if m.ownKnown {
		now, err := readProcess("self")
		if err != nil {
			return err
		}
		row.Generator = use(m.own, now, passed)
	}
	if len(m.processes) > 0 {
		now, err := m.readServer()
		if err != nil {
			return err
		}
		row.Server = use(m.server, now, passed)
	}
	return nil
}

func use(before, after reading, passed time.Duration) *Usage {
	return &Usage{
		Cores:  float64(after.cpu-before.cpu) / float64(passed),
		RSS:    after.rss,
		Before: before.rss,
	}
}
