package loadgen

import (
	"bytes"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestReportsSayTheSameInBothForms(t *testing.T) {
	r := NewReport(Target{url: "http://127.0.0.1:8008"})
	r.Rows = []Row{
		{
			Scenario: "send", Case: "16 senders", Count: 123456, Rate: 12345.6, Latency: Latency{0.5, 1.25, 10.04, 1234.5},
			Server: &Usage{Cores: 1.5, RSS: 123_000_000}, Generator: &Usage{Cores: 0.25}, Notes: []string{"first", "second"},
		},
		{Scenario: "idle", Case: "1 client", Missed: 3, Failed: 1, Throttled: 1, Notes: []string{"third"}},
	}
	var table, text bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"http://127.0.0.1:8008, ", "123,456", "12,346", "0.50", "1.25", "10.0", "1,235", "1.50", "123 MB", "0.25", "1 2\n",
		"  1  first\n", "  3  third\n",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, table.String())
		}
	}
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text.Bytes(), &back); err != nil || len(back.Rows) != 2 || back.Rows[0].Server.RSS != 123_000_000 ||
		back.Rows[1].Missed != 3 || back.Target != r.Target {
		t.Errorf("got %+v, %v", back, err)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for got, want := range map[string]string{
		digits(0): "0", digits(999): "999", digits(1000): "1,000", digits(-1234567): "-1,234,567", digits(-123): "-123",
		bytesOf(9999): "9,999 B", bytesOf(10_000): "10 kB", bytesOf(12_345_678): "12 MB", bytesOf(-20_000): "-20 kB",
		count(1, "room"): "1 room", count(0, "room"): "0 rooms", rate(99.95): "100.0", rate(1999.6): "2,000", millis(999.96): "1000.0",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestProcessesAreRead(t *testing.T) {
	text := "7 (a) with ( name) R 1 7 7 0 -1 4194304 900 0 0 0 150 50 0 0 20 0 1 0 500 1000000 25 18446744073709551615 1\n"
	got, err := parseStat([]byte(text))
	if want := (reading{2 * time.Second, 25 * int64(os.Getpagesize())}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "7 (a) R 1", strings.Replace(text, "150", "x", 1)} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		}
	}
	g, err := New(Options{Processes: []int{1 << 30}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.measure(); err == nil || !strings.Contains(err.Error(), strconv.Itoa(1<<30)) {
		t.Errorf("a process that is not there: got %v, want an error", err)
	}
}
