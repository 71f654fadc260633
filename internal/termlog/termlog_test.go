package termlog

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLines(t *testing.T) {
	at := time.Date(2026, 3, 4, 9, 5, 6, 7, time.UTC)
	for _, row := range []struct {
		name string
		log  func(*slog.Logger)
		want string
	}{
		{"a message alone", func(l *slog.Logger) { l.Info("listening") }, "INFO  listening"},
		{"attributes behind two spaces", func(l *slog.Logger) { l.Warn("odd", "room", "!a:b", "n", 3) }, "WARN  odd  room=!a:b n=3"},
		{"what has spaces is quoted", func(l *slog.Logger) { l.Error("bad", "err", errors.New("no such room")) }, `ERROR bad  err="no such room"`},
		{"nothing is seen", func(l *slog.Logger) { l.Info("x", "reason", "") }, `INFO  x  reason=""`},
		{"a second line cannot be forged", func(l *slog.Logger) { l.Info("x\n09:00 ERROR y", "user", "a\x1b[2Jb") }, `INFO  "x\n09:00 ERROR y"  user="a\x1b[2Jb"`},
		{"other letters are letters", func(l *slog.Logger) { l.Info("grüße", "name", "Ünï") }, "INFO  grüße  name=Ünï"},
		{"bytes that are no text", func(l *slog.Logger) { l.Info("x", "name", "a\xffb") }, `INFO  x  name="a\xffb"`},
		{"attributes of With", func(l *slog.Logger) { l.With("room", "!a").Info("x", "n", 1) }, "INFO  x  room=!a n=1"},
		{"groups", func(l *slog.Logger) {
			l.WithGroup("http").With("a", 1).Info("x", slog.Group("tls", "b", 2), "c", 3)
		}, "INFO  x  http.a=1 http.tls.b=2 http.c=3"},
		{"durations are short", func(l *slog.Logger) { l.Info("x", "took", 1234567*time.Nanosecond, "n", 12*time.Nanosecond) }, "INFO  x  took=1.23ms n=12ns"},
		{"less than the level", func(l *slog.Logger) { l.Debug("x") }, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out bytes.Buffer
			row.log(slog.New(New(&out, Options{})))
			got := out.String()
			if row.want == "" {
				if got != "" {
					t.Errorf("got %q, want nothing", got)
				}
				return
			}
			if _, line, _ := strings.Cut(got, " "); line != row.want+"\n" {
				t.Errorf("got %q, want %q", line, row.want)
			}
		})
	}
	var out bytes.Buffer
	r := slog.NewRecord(at, slog.LevelInfo, "x", 0)
	if New(&out, Options{}).Handle(t.Context(), r); out.String() != "09:05:06 INFO  x\n" {
		t.Errorf("got %q", out.String())
	}
}

func TestColorOnlyWhereItIsWanted(t *testing.T) {
	for _, color := range []bool{false, true} {
		var out bytes.Buffer
		slog.New(New(&out, Options{Color: color})).Error("x", "a", 1)
		if got := strings.Contains(out.String(), "\x1b["); got != color {
			t.Errorf("colour %v: %q", color, out.String())
		}
	}
}
