package media

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets this binary be the program that draws.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "in") {
		pretend()
	}
	os.Exit(m.Run())
}

// filmHead is what a content begins with that vips is to draw, and movieHead one that
// is for ffmpeg. Behind it stands what pretend is to do.
const (
	filmHead  = "\x00\x00\x00\x1cftypavif"
	movieHead = "\x00\x00\x00\x1cftypisom"
)

// pretend is a program that does what the content says.
func pretend() {
	check := func(ok bool, format string, args ...any) {
		if !ok {
			fmt.Fprintf(os.Stderr, format, args...)
			os.Exit(1)
		}
	}
	content, err := os.ReadFile("in")
	check(err == nil && len(content) > len(filmHead), "%v", err)
	out := os.Args[len(os.Args)-1]
	if os.Args[1] == "thumbnail" {
		out = os.Args[3]
	}
	draw := func() {
		f, err := os.Create(out)
		check(err == nil, "%v", err)
		if strings.HasSuffix(out, ".jpg") {
			err = jpeg.Encode(f, scenery(200, 100), nil)
		} else {
			err = png.Encode(f, scenery(200, 100))
		}
		check(err == nil, "%v", err)
	}
	switch content := string(content[len(filmHead):]); content {
	case "draw":
		draw()
	case "look around":
		there, err := os.ReadDir(".")
		check(err == nil && len(there) == 1, "there are %v, %v", there, err)
		for _, variable := range os.Environ() {
			name, _, _ := strings.Cut(variable, "=")
			check(slices.Contains([]string{"LANG", "PATH", "HOME", "TMPDIR", "VIPS_CONCURRENCY", "VIPS_BLOCK_UNTRUSTED", "PWD"}, name), "there is %s", variable)
		}
		draw()
	case "wait":
		child := exec.Command(os.Args[0], "thumbnail", "in", "out.png") // which waits, too
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if os.Getenv("CHILD") == "" {
			child.Env = append(os.Environ(), "CHILD=1")
			check(child.Start() == nil, "there is no child")
		}
		time.Sleep(time.Hour)
	case "compute":
		for i := 0; ; i++ {
			_ = fmt.Sprint(i)
		}
	case "remember":
		var all [][]byte
		for range 1 << 10 {
			all = append(all, make([]byte, 16<<20))
		}
		check(false, "there is room for %d", len(all))
	case "write":
		check(os.WriteFile(out, make([]byte, 2*mostPoster), 0o600) == nil, "it cannot be written")
	case "point elsewhere":
		check(os.Symlink("/etc/passwd", out) == nil, "there are no links")
	case "draw nothing":
	case "talk":
		check(false, "%s", strings.Repeat("blah ", 1<<20))
	default:
		check(os.WriteFile(out, []byte(content), 0o600) == nil, "it cannot be written")
	}
	os.Exit(0)
}

// withPrograms has this binary draw.
func withPrograms(o *Options) { o.Vips, o.FFmpeg = os.Args[0], os.Args[0] }

func TestProgramsDrawWhatNothingHereDecodes(t *testing.T) {
	each(t, func(s *scene) {
		for head, want := range map[string]string{filmHead: "image/png", movieHead: "image/jpeg", "\x1a\x45\xdf\xa3": "image/jpeg", "OggS": "image/jpeg"} {
			content := (head + strings.Repeat("_", len(filmHead)))[:len(filmHead)] + "look around"
			u := s.uploadBytes([]byte(content))
			for _, tt := range []struct {
				want Thumbnail
				size image.Point
			}{{Thumbnail{50, 50, false, false}, image.Pt(50, 25)}, {Thumbnail{50, 50, true, true}, image.Pt(50, 50)}, {Thumbnail{900, 900, false, false}, image.Pt(200, 100)}} {
				small, kind := s.picture(u, tt.want.Width, tt.want.Height, tt.want.Crop, tt.want.Animated)
				m, _, err := image.Decode(bytes.NewReader(small))
				if err != nil || kind != want || m.Bounds().Size() != tt.size {
					t.Errorf("%q, %+v: got %s, %v", head, tt.want, kind, err)
				}
			}
			s.expectFiles("the content, the poster and three thumbnails", 5)
			s.forget(u)
		}
		s.expectFiles("in the end", 0)
	}, withPrograms)
}

func TestProgramsThatGoAstrayMakeNoPicture(t *testing.T) {
	each(t, func(s *scene) {
		for what, want := range map[string]string{
			"draw nothing": "M_UNKNOWN", "point elsewhere": "M_UNKNOWN", "write": "M_UNKNOWN", "remember": "M_UNKNOWN", "talk": "M_UNKNOWN",
			"<svg xmlns='http://www.w3.org/2000/svg'/>": "M_UNKNOWN", filmHead + "draw": "M_UNKNOWN", string(hugePNG(60000, 60000)): "M_TOO_LARGE",
		} {
			u := s.uploadBytes([]byte(filmHead + what))
			for range 2 {
				if _, got := s.picture(u, 50, 50, false, false); got != want {
					t.Errorf("%.20q: got %s, want %s", what, got, want)
				}
			}
		}
		left, err := os.ReadDir(filepath.Join(s.o.Dir, "incoming"))
		if err != nil || len(left) != 0 {
			t.Errorf("this is left: %v, %v", left, err)
		}
	}, withPrograms)
}

func TestProgramsEndWithTheirTime(t *testing.T) {
	run := func(what string, most time.Duration, l limits) error {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "in"), filmHead+what)
		return runTool(t.Context(), dir, os.Args[0], []string{"thumbnail", "in", "out.png"}, most, l)
	}
	var failed *toolError
	// Were the child left, its end of the pipe would be waited for.
	if err := run("wait", 300*time.Millisecond, toolLimits()); !errors.As(err, &failed) || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("what waits: %v", err)
	}
	short := toolLimits()
	short.processor = time.Second
	if err := run("compute", time.Minute, short); !errors.As(err, &failed) || strings.Contains(err.Error(), "longer than") {
		t.Errorf("what computes: %v", err)
	}
	if err := run("talk", time.Minute, toolLimits()); !errors.As(err, &failed) || len(failed.told) != mostTold {
		t.Errorf("what talks: %.200v", err)
	}
	if err := runTool(t.Context(), t.TempDir(), "/nowhere/vips", nil, time.Minute, toolLimits()); !isFault(err) {
		t.Errorf("what is not there: %v", err)
	}
}

func TestOnlyWhatAProgramIsForReachesIt(t *testing.T) {
	each(t, func(s *scene) {
		for name, content := range map[string]string{
			"SVG": "<svg/>", "a playlist": "#EXTM3U\nhttp://127.0.0.1/", "a list for concat": "ffconcat version 1.0\nfile /etc/passwd", "PDF": "%PDF-1.4", "nothing": "",
		} {
			if program, _, _ := s.toolFor(strings.NewReader(content)); program != "" {
				t.Errorf("%s reaches a program", name)
			}
		}
	}, withPrograms)
	each(t, func(s *scene) {
		for _, head := range []string{filmHead, movieHead} {
			if _, got := s.picture(s.uploadBytes([]byte(head+"draw")), 50, 50, false, false); got != "M_UNKNOWN" {
				t.Errorf("without programs: got %s", got)
			}
		}
	})
}

// TestTheRealProgramsDraw needs the programs. They are no part of the server, and not
// on every machine.
func TestTheRealProgramsDraw(t *testing.T) {
	for _, tt := range []struct {
		program string
		set     func(*Options, string)
		files   []string
		size    image.Point
	}{
		{"vips", func(o *Options, path string) { o.Vips = path }, []string{"still.avif", "still.heic"}, image.Pt(32, 24)},
		{"ffmpeg", func(o *Options, path string) { o.FFmpeg = path }, []string{"video.mp4", "video.webm"}, image.Pt(32, 18)},
	} {
		path, err := exec.LookPath(tt.program)
		if err != nil {
			t.Logf("NOT CHECKED: %s is not installed here", tt.program)
			continue
		}
		each(t, func(s *scene) {
			for _, name := range tt.files {
				content, err := os.ReadFile(filepath.Join("testdata", name))
				if err != nil {
					t.Fatal(err)
				}
				small, kind := s.picture(s.uploadBytes(content), 32, 32, false, false)
				m, _, err := image.Decode(bytes.NewReader(small))
				if err != nil || m.Bounds().Size() != tt.size {
					t.Errorf("%s: got %s, %v", name, kind, err)
				}
				if _, got := s.picture(s.uploadBytes(content[:len(content)/3]), 32, 32, false, false); got != "M_UNKNOWN" {
					t.Errorf("a third of %s: got %s", name, got)
				}
			}
		}, func(o *Options) { tt.set(o, path) })
	}
}
