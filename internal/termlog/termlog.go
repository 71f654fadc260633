// Package termlog is a handler of log/slog for people at a terminal: a line for
// each record, with the time of day, the level, the message and then what
// belongs to it as key=value.
//
//	09:25:06 INFO  listening  url=http://127.0.0.1:8008 server=example.org
//
// The keys are those that every other handler shows, so what was read on the
// terminal can be looked for in a file. A line is made for reading and not for
// programs: use [slog.JSONHandler] for those.
package termlog

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Options of a handler.
type Options struct {
	// Level is the least that is shown. Nil: [slog.LevelInfo].
	Level slog.Leveler
	// Color says that the terminal understands colours.
	Color bool
}

// A Handler writes a line for each record, at once.
type Handler struct {
	out    *output
	level  slog.Leveler
	color  bool
	attrs  string // those of With, as they are shown
	prefix string // what names of attributes begin with, for groups
}

// output is shared by the handlers that With makes of one.
type output struct {
	mu sync.Mutex // held while writing
	w  io.Writer
}

// New returns a handler that writes to w.
func New(w io.Writer, o Options) *Handler {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	return &Handler{out: &output{w: w}, level: o.Level, color: o.Color}
}

func (h *Handler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	var b strings.Builder
	for _, a := range attrs {
		h.appendAttr(&b, h.prefix, a)
	}
	c.attrs += b.String()
	return &c
}

func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.prefix += name + "."
	return &c
}

func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if !r.Time.IsZero() {
		b.WriteString(r.Time.Format(time.TimeOnly) + " ")
	}
	h.paint(&b, levelColor(r.Level), pad(r.Level.String(), 5))
	b.WriteString(" " + plain(r.Message))
	if h.attrs != "" || r.NumAttrs() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		h.appendAttr(&b, h.prefix, a)
		return true
	})
	b.WriteByte('\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := io.WriteString(h.out.w, b.String())
	return err
}

// appendAttr writes an attribute with a space before it. A group is written as
// its attributes, their names behind that of the group.
func (h *Handler) appendAttr(b *strings.Builder, prefix string, a slog.Attr) {
	a.Value = a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if a.Value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range a.Value.Group() {
			h.appendAttr(b, prefix, member)
		}
		return
	}
	b.WriteByte(' ')
	h.paint(b, dim, quoted(prefix+a.Key)+"=")
	b.WriteString(quoted(text(a.Value)))
}

func text(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().Format(time.RFC3339)
	case slog.KindDuration:
		return rounded(v.Duration()).String()
	}
	return v.String()
}

// rounded leaves a duration three digits or so.
func rounded(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for unit*1000 <= d.Abs() {
		unit *= 10
	}
	return d.Round(unit)
}

// quoted returns a text as it is where it is seen as one word, and in quotes
// where it has spaces, or characters that could take hold of the terminal.
func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, ` "=`) || plain(s) != s {
		return strconv.Quote(s)
	}
	return s
}

// plain returns a text, in quotes if there are characters in it that cannot be
// shown.
func plain(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}

func pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-len(s))) }

// Colours, by their numbers in the sequence that sets them.
const (
	dim    = "2"
	red    = "31"
	yellow = "33"
	green  = "32"
)

func levelColor(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return red
	case level >= slog.LevelWarn:
		return yellow
	case level >= slog.LevelInfo:
		return green
	}
	return dim
}

func (h *Handler) paint(b *strings.Builder, color, s string) {
	if h.color {
		s = "\x1b[" + color + "m" + s + "\x1b[0m"
	}
	b.WriteString(s)
}
