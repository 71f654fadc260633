package loadgen

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is rows, and what to know for comparing them with others.
type Report struct {
	Target string    `json:"target"`
	Began  time.Time `json:"began"`
	Go     string    `json:"generator_go"` // the release of Go that the generator is built with
	System string    `json:"system"`
	Cores  int       `json:"cores"` // of the machine of the generator
	Rows   []Row     `json:"rows"`
}

// NewReport returns a report without rows.
func NewReport(t Target) *Report {
	return &Report{
		Target: t.String(), Began: time.Now().UTC().Truncate(time.Second),
		Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(),
	}
}

// WriteJSON writes the report as JSON.
func (r *Report) WriteJSON(to io.Writer) error {
	e := json.NewEncoder(to)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteTable writes the report for people, the notes below the table.
func (r *Report) WriteTable(to io.Writer) error {
	target := r.Target
	if target == "" {
		target = "no server"
	}
	fmt.Fprintf(to, "%s, %s; generator on %s, %s\n\n", target, r.Began.Format(time.RFC3339), count(r.Cores, "core"), r.Go)
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "scenario\tcase\tcount\tper s\tp50 ms\tp90\tp99\tmax\tfailed\tmissed\tserver cores\tmemory\tgenerator cores\tnotes")
	var notes []string
	for _, row := range r.Rows {
		numbers := make([]string, len(row.Notes))
		for i, n := range row.Notes {
			notes = append(notes, n)
			numbers[i] = strconv.Itoa(len(notes))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			row.Scenario, row.Case, digits(row.Count), rate(row.Rate),
			millis(row.Latency.P50), millis(row.Latency.P90), millis(row.Latency.P99), millis(row.Latency.Max),
			digits(row.Failed+row.Throttled), digits(row.Missed), row.Server.table(true), row.Generator.table(false),
			strings.Join(numbers, " "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i, n := range notes {
		if i == 0 {
			fmt.Fprintln(to)
		}
		if _, err := fmt.Fprintf(to, "%3d  %s\n", i+1, n); err != nil {
			return err
		}
	}
	return nil
}

// table returns the columns of a usage.
func (u *Usage) table(memory bool) string {
	switch {
	case u == nil && memory:
		return "\t"
	case u == nil:
		return ""
	case memory:
		return fmt.Sprintf("%.2f\t%s", u.Cores, bytesOf(u.RSS))
	}
	return fmt.Sprintf("%.2f", u.Cores)
}

func rate(r float64) string {
	switch {
	case r == 0:
		return ""
	case r < 100:
		return fmt.Sprintf("%.1f", r)
	}
	return digits(int64(r + 0.5))
}

func millis(ms float64) string {
	switch {
	case ms >= 1000:
		return digits(int64(ms + 0.5))
	case ms >= 10:
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.2f", ms)
}

// digits writes a number with commas between thousands.
func digits(n int64) string {
	s := strconv.FormatInt(n, 10)
	first := 1
	if n < 0 {
		first = 2
	}
	for i := len(s) - 3; i >= first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes how many there are of something.
func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return digits(int64(n)) + " " + of + "s"
}

// bytesOf writes a number of bytes.
func bytesOf(n int64) string {
	switch {
	case n >= 10_000_000 || n <= -10_000_000:
		return fmt.Sprintf("%s MB", digits(n/1_000_000))
	case n >= 10_000 || n <= -10_000:
		return fmt.Sprintf("%s kB", digits(n/1_000))
	}
	return digits(n) + " B"
}
