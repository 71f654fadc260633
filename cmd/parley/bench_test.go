package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
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

func TestBenchOfAServerAmongOthers(t *testing.T) {
	t.Setenv("PARLEY_TEST_MAIN", "1") // it runs this binary as the server
	file := filepath.Join(t.TempDir(), "out.json")
	args := "federation --joins 20 --rooms 2 --events 200 --destinations 3 --forks 20 --fork-members 20 --members 5 --settle 10ms --json " + file
	var out, progress bytes.Buffer
	if err := bench(strings.Fields(args), &out, &progress); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), progress.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Rows []struct {
			Scenario, Case string
			Count          int64
			Failed, Missed int64
			Notes          []string
		}
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if got, want := len(report.Rows), 4+1+2+1+3; got != want {
		t.Errorf("there are %d rows, want %d:\n%s", got, want, out.String())
	}
	for _, row := range report.Rows {
		if row.Count == 0 || row.Failed != 0 || row.Missed != 0 {
			t.Errorf("%+v", row)
		}
	}
	if strings.Contains(progress.String(), "the server says") {
		t.Error(progress.String())
	}
}

func TestBenchOfPushGateways(t *testing.T) {
	t.Setenv("PARLEY_TEST_MAIN", "1") // it runs this binary as the server
	file := filepath.Join(t.TempDir(), "out.json")
	var out, progress bytes.Buffer
	if err := bench(strings.Fields("push --members 5 --messages 3 --json "+file), &out, &progress); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), progress.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Rows []struct {
			Case                  string
			Count, Missed, Failed int64
		}
	}
	if err := json.Unmarshal(text, &report); err != nil || len(report.Rows) != 2 {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, row := range report.Rows {
		if row.Count != 5*3 || row.Missed != 0 || row.Failed != 0 {
			t.Errorf("%+v", row)
		}
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
	for _, name := range []string{"send", "fanout", "initial", "idle", "media", "push", "all", "self", "federation"} {
		var help bytes.Buffer
		if err := bench([]string{name, "--help"}, io.Discard, &help); err != nil || !strings.Contains(help.String(), "-json FILE") {
			t.Errorf("%s: got %q, %v", name, help.String(), err)
		}
		if !strings.Contains(benchUsage, "\n  "+name) {
			t.Errorf("the usage does not list %s", name)
		}
	}
}
