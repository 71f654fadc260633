package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// Programs that others wrote in other languages draw what nothing here decodes, if
// the operator says where they are: vips AVIF and HEIF, ffmpeg videos. They make one
// picture of a content, the poster, of which thumbnails are drawn as of any image: it
// is looked at like one that somebody has uploaded.
//
// What is given to them is recognised by its first bytes, and they are told what it
// is, rather than to find out: so playlists, SVG and whatever else they know never
// reach them. They run in a directory of their own that is removed afterwards, with no
// variables of this process, within limits of time, processor time, memory and size
// of what they write (confine).

const (
	// toolTime is how long a program may take.
	toolTime = 30 * time.Second
	// toolMemory is what it counts for among all that is drawn.
	toolMemory = mostMemory / 2
	// mostPoster is how many bytes the picture may have that it makes.
	mostPoster = 32 << 20
	// mostTold is how much is kept of what it says.
	mostTold = 1 << 10
	// posterName is what the picture is called among those of a content.
	posterName = "poster"
	// hopeless is for how long a content is not tried again that no picture was made of.
	hopeless = time.Hour
)

// limits are what a program may use.
type limits struct {
	processor       time.Duration
	memory, written int64 // bytes
	files           uint64
}

func toolLimits() limits {
	return limits{processor: 20 * time.Second, memory: 2 << 30, written: mostPoster, files: 64}
}

// filmed is the kind of a content that a program draws, as ffmpeg calls what is to
// read it; heif is for vips. Empty: none.
func filmed(head []byte) string {
	switch {
	case len(head) >= 12 && string(head[4:8]) == "ftyp":
		if slices.Contains([]string{"avif", "avis", "mif1", "msf1", "heic", "heix", "heim", "heis", "hevc", "hevx"}, string(head[8:12])) {
			return "heif"
		}
		return "mov"
	case bytes.HasPrefix(head, []byte("\x1a\x45\xdf\xa3")):
		return "matroska"
	case bytes.HasPrefix(head, []byte("OggS")):
		return "ogg"
	}
	return ""
}

// toolFor returns the program that draws a content, and what it is to be told: it
// finds the content under the name "in". Empty: there is none.
func (s *Store) toolFor(content source) (program string, args []string, out string) {
	var head [12]byte
	n, _ := content.ReadAt(head[:], 0)
	side := strconv.Itoa(longestSide)
	switch kind := filmed(head[:n]); {
	case kind == "heif" && s.o.Vips != "":
		return s.o.Vips, []string{"thumbnail", "in", "out.png", side, "--height", side, "--size", "down"}, "out.png"
	case kind != "" && kind != "heif" && s.o.FFmpeg != "":
		return s.o.FFmpeg, []string{
			"-nostdin", "-hide_banner", "-v", "error", "-protocol_whitelist", "file",
			"-max_pixels", "67108864", "-threads", "1", "-f", kind, "-i", "in", "-an", "-sn", "-dn", "-map_metadata", "-1",
			"-vf", "thumbnail=n=10,scale=w='min(" + side + ",iw)':h='min(" + side + ",ih)':force_original_aspect_ratio=decrease",
			"-frames:v", "1", "-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-q:v", "3", "-threads", "1", "-f", "image2", "-update", "1", "out.jpg",
		}, "out.jpg"
	}
	return "", nil, ""
}

// poster opens the picture of a content that only a program can draw, nil if there
// is no such program.
func (s *Store) poster(ctx context.Context, m *Media, content *os.File) (*os.File, error) {
	program, args, out := s.toolFor(content)
	if program == "" {
		return nil, nil
	}
	path := filepath.Join(s.files.thumbnails(m.Hash), posterName)
	file, err := os.Open(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	if err := s.unseen.of(m.Hash); err != nil {
		return nil, err
	}
	err = fly(ctx, s, &s.pictures, path, drawTime, func(ctx context.Context) error {
		leave, err := s.drawing.enter(ctx, toolMemory)
		if err != nil {
			return err
		}
		defer leave()
		err = s.files.withTool(ctx, content.Name(), program, args, func(dir string) error {
			picture, err := openPoster(filepath.Join(dir, out))
			if err != nil {
				return err
			}
			defer picture.Close()
			return s.files.keepPicture(m.Hash, path, func(to string) error { return writeSynced(to, picture) })
		})
		var failed *toolError
		if errors.As(err, &failed) {
			if s.life.Err() != nil {
				return s.life.Err()
			}
			s.o.Log.Info("a program has drawn no picture", "program", program, "uri", m.URI, "err", failed)
			s.unseen.note(m.Hash, errNoPicture, hopeless)
			return errNoPicture
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}

// openPoster opens what a program has made, if it is a file of no more than it may be.
func openPoster(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, &toolError{err: err}
	case !info.Mode().IsRegular() || info.Size() > mostPoster:
		return nil, &toolError{err: fmt.Errorf("it made %v of %d bytes", info.Mode(), info.Size())}
	}
	return os.Open(path)
}

// toolError is why a program has not made a picture, and what it has said.
type toolError struct {
	err  error
	told string
}

func (e *toolError) Error() string { return fmt.Sprintf("%v: %q", e.err, e.told) }

func (e *toolError) Unwrap() error { return e.err }

// withTool runs a program in a directory of its own, in which the content is called
// in, and then does something with what it has left there.
func (f *files) withTool(ctx context.Context, content, program string, args []string, do func(dir string) error) error {
	incoming := filepath.Join(f.dir, "incoming")
	if err := f.makeDir(incoming); err != nil {
		return fault{err}
	}
	dir, err := os.MkdirTemp(incoming, f.run+"-")
	if err != nil {
		return fault{err}
	}
	defer os.RemoveAll(dir)
	if content, err = filepath.Abs(content); err == nil {
		err = os.Symlink(content, filepath.Join(dir, "in"))
	}
	if err != nil {
		return fault{err}
	}
	if err := runTool(ctx, dir, program, args, toolTime, toolLimits()); err != nil {
		return err
	}
	return do(dir)
}

// runTool runs a program, and ends all of it when its time is over.
func runTool(ctx context.Context, dir, program string, args []string, most time.Duration, l limits) error {
	runtime.LockOSThread() // with whose end the program ends, where it does with this process
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var told beginning
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = dir
	c.Env = []string{"LANG=C", "PATH=/usr/bin:/bin", "HOME=" + dir, "TMPDIR=" + dir, "VIPS_CONCURRENCY=1", "VIPS_BLOCK_UNTRUSTED=1"}
	c.Stdout, c.Stderr = &told, &told
	c.WaitDelay = time.Second
	together(c)
	err := c.Start()
	if err != nil {
		return fault{fmt.Errorf("running a program that draws: %w", err)}
	}
	if err := confine(c.Process.Pid, l); err != nil {
		c.Cancel()
		c.Wait()
		return fault{fmt.Errorf("confining a program that draws: %w", err)}
	}
	err = c.Wait()
	c.Cancel() // what it has left running
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("it took longer than %v", most)
		}
		return &toolError{err, string(told.text)}
	}
	return nil
}

// beginning keeps the beginning of what is written. It has no other way in than that.
type beginning struct{ text []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), mostTold-len(b.text))]...)
	return len(p), nil
}
