package main

import (
	"bytes"
	"strings"
	"testing"
)

func output(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := (&program{out: &out}).run(t.Context(), args); err != nil {
		t.Fatalf("parley %v: %v", args, err)
	}
	return out.String()
}

func TestDemoHealsTheSplit(t *testing.T) {
	out := output(t, "demo")
	for _, want := range []string{
		"m.room.member          @carol:c.example   carol joins",
		"m.room.power_levels                       alice takes Bob's power",
		"bob bans Carol: rule 5.6.3",
		"bob names the room: rule 8",
		"The state on both servers is ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the demonstration does not say %q:\n%s", want, out)
		}
	}
	if output(t, "demo") != out {
		t.Error("the demonstration says something else the second time")
	}
}

func TestVersionNamesTheRoomVersions(t *testing.T) {
	out := output(t, "version")
	for _, want := range []string{"room versions 1 2 3 4 5 6 7 8 9 10 11 12, default 12\n", "unstable room versions org.matrix.msc3757.10 "} {
		if !strings.Contains(out, want) {
			t.Errorf("got %s, want %q in it", out, want)
		}
	}
}

func TestUnknownCommandIsAnError(t *testing.T) {
	if err := (&program{}).run(t.Context(), []string{"fly"}); err == nil {
		t.Error("no error")
	}
	if out := output(t); out != usage {
		t.Errorf("without arguments: %s", out)
	}
}

func TestHelpKnowsEveryCommand(t *testing.T) {
	for _, command := range []string{"serve", "user", "media", "bench", "demo", "version", "help"} {
		if !strings.Contains(output(t, "help"), "parley "+command) {
			t.Errorf("help does not list %s", command)
		}
		if output(t, "help", command) == "" {
			t.Errorf("help has nothing on %s", command)
		}
	}
	serve := output(t, "help", "serve")
	for _, want := range []string{"--debug", "--config FILE", "--server-name NAME, PARLEY_SERVER_NAME, server_name"} {
		if !strings.Contains(serve, want) {
			t.Errorf("help of serve does not say %q", want)
		}
	}
	for _, args := range [][]string{{"serve", "--help"}, {"serve", "-h", "--debug"}} {
		if output(t, args...) != serve {
			t.Errorf("%v says something else than help serve", args)
		}
	}
	user := output(t, "help", "user")
	for _, args := range [][]string{{"user"}, {"user", "--help"}, {"user", "add", "--help"}, {"user", "list", "-h"}, {"user", "add", "alice", "--help"}} {
		if output(t, args...) != user {
			t.Errorf("%v says something else than help user", args)
		}
	}
	for _, text := range []string{usage, serve, user} {
		for line := range strings.Lines(text) {
			if len(line) > 81 {
				t.Errorf("a line is too long for a terminal: %s", line)
			}
		}
	}
}
