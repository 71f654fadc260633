package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBenchOfTheGeneratorAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out.json")
	var out, progress bytes.Buffer
	if err := bench([]string{"self", "--duration", "20ms", "--clients", "3", "--json", file}, &out, &progress); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "3 syncing clients") || !strings.Contains(progress.String(), "alone") {
		t.Errorf("it says\n%s\nand of its progress\n%s", out.String(), progress.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report struct{ Rows []struct{ Scenario string } }
	if err := json.Unmarshal(text, &report); err != nil || len(report.Rows) != 3 || report.Rows[0].Scenario != "self" {
		t.Errorf("the JSON is %s, %v", text, err)
	}
}

// benchRow is what these tests read of a row.
type benchRow struct {
	Scenario, Case        string
	Count                 int64
	Failed, Missed, Twice int64
	Notes                 []string
}

// benchOwn runs a scenario that starts this binary as the server, and returns the rows.
func benchOwn(t *testing.T, args string) []benchRow {
	t.Helper()
	t.Setenv("PARLEY_TEST_MAIN", "1")
	file := filepath.Join(t.TempDir(), "out.json")
	var out, progress bytes.Buffer
	if err := bench(strings.Fields(args+" --json "+file), &out, &progress); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), progress.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report struct{ Rows []benchRow }
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	for _, row := range report.Rows {
		if row.Count == 0 || row.Failed != 0 || row.Missed != 0 || row.Twice != 0 {
			t.Errorf("%+v", row)
		}
	}
	if strings.Contains(progress.String(), "the server says") {
		t.Error(progress.String())
	}
	return report.Rows
}

func TestBenchOfAServerAmongOthers(t *testing.T) {
	rows := benchOwn(t, "federation --joins 20 --rooms 2 --events 200 --destinations 3 --forks 20 --fork-members 20 --members 5 --settle 10ms")
	if got, want := len(rows), 4+1+2+1+3; got != want {
		t.Errorf("there are %d rows, want %d: %+v", got, want, rows)
	}
}

func TestBenchOfPushGateways(t *testing.T) {
	rows := benchOwn(t, "push --members 5 --messages 3")
	if len(rows) != 2 || rows[0].Count != 5*3 || rows[1].Count != 5*3 {
		t.Errorf("got %+v", rows)
	}
}

func TestBenchOfEncryption(t *testing.T) {
	rows := benchOwn(t, "encryption --clients 4 --keys 6 --sharers 20 --changes 3 --listeners 5 --waiting 300 --devices 7")
	var counts []int64
	for _, row := range rows {
		counts = append(counts, row.Count)
	}
	if want := []int64{4, 4 * 6, 4 * 6, 3 * 5, 300, 300, 20}; !slices.Equal(counts, want) {
		t.Fatalf("got %d, want %d", counts, want)
	}
	if notes := fmt.Sprint(rows[3].Notes); !strings.Contains(notes, "; 1 entries") {
		t.Errorf("a change is told of by more than one entry: %s", notes)
	}
	if notes := fmt.Sprint(rows[5].Notes); !strings.Contains(notes, "; 0 of the messages") {
		t.Errorf("messages come out of order: %s", notes)
	}
}

func TestBenchOfSlidingSync(t *testing.T) {
	rows := benchOwn(t, "sliding --rooms 21 --starts 2 --warm 3 --idle 50")
	if len(rows) != 3 || rows[0].Count != 2 || rows[1].Count != 3 || rows[2].Count != 50 {
		t.Fatalf("got %+v", rows)
	}
	if notes := fmt.Sprint(rows[2].Notes); !strings.Contains(notes, " 0 statements") {
		t.Errorf("without news the database is asked: %s", notes)
	}
}

func TestBenchRefuses(t *testing.T) {
	for _, row := range []struct {
		name, args, want string
	}{
		{"servers of others", "send --url http://192.0.2.1:8008", "--i-own-this-server"},
		{"unknown scenarios", "fly", "unknown scenario"},
		{"unknown flags", "send --speed 7", "-speed"},
		{"a server that is no flag", "send http://127.0.0.1:8008", "--url"},
		{"a process that is no number", "idle --pid x", "no positive number"},
		{"parts that are none", "federation --parts fly", `no part "fly"`},
		{"windows of more rooms than there are", "sliding --rooms 19", "want 20"},
		{"claims of nobody else", "encryption --clients 1", "want 2"},
		{"sizes below one", "all --sizes 0", "no positive number"},
		{"where nothing listens", "send --url http://127.0.0.1:1", "no server answers"},
	} {
		err := bench(strings.Fields(row.args), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want an error with %q", row.name, err, row.want)
		}
	}
}

func TestBenchHelps(t *testing.T) {
	for args, want := range map[string]string{"": "idle", "--help": "idle"} {
		var out bytes.Buffer
		if err := bench(strings.Fields(args), &out, io.Discard); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q: got %q, %v", args, out.String(), err)
		}
	}
	for _, name := range []string{"send", "fanout", "initial", "idle", "media", "encryption", "sliding", "push", "all", "self", "federation"} {
		var help bytes.Buffer
		if err := bench([]string{name, "--help"}, io.Discard, &help); err != nil || !strings.Contains(help.String(), "-json FILE") {
			t.Errorf("%s: got %q, %v", name, help.String(), err)
		}
		if !strings.Contains(benchUsage, "\n  "+name) {
			t.Errorf("the usage does not list %s", name)
		}
	}
}
