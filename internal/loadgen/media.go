package loadgen

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"
)

// Media is how files and pictures of them are measured.
type Media struct {
	Sizes   []int // of the files, in bytes
	Repeats int   // how often each is uploaded, and downloaded

	// Side is the longer side of the photo that thumbnails are of, which has the
	// proportions 4 to 3, and Pictures how many photos there are.
	Side, Pictures int
	// Together is how many thumbnails are asked for at once in the second phase; in the
	// first it is one.
	Together int
	// Cached is how often thumbnails are asked for that were drawn before.
	Cached int
}

func (o Media) check() error {
	all := []error{
		within("the number of repeats", o.Repeats, 1, 1000),
		within("the side of the photo", o.Side, 100, 20_000),
		within("the number of photos", o.Pictures, 1, 1000),
		within("the number of thumbnails at once", o.Together, 1, 1000),
		within("the number of thumbnails that were drawn before", o.Cached, 1, 10_000_000),
	}
	for _, n := range o.Sizes {
		all = append(all, within("the size of a file", int64(n), 1, 100<<30))
	}
	return firstError(all...)
}

// Media measures uploads and downloads of files, and thumbnails that are drawn and
// that were drawn before. How much more memory the server had meanwhile is in the
// notes, where its process is named.
func (g *Generator) Media(ctx context.Context, o Media) (rows []Row, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	users, err := g.users(ctx, 1)
	if err != nil {
		return nil, err
	}
	m := &mediaRun{g: g, client: newClient(g.o.Target), token: users[0].Token}
	defer m.client.hangUp()
	if err := m.admitted(ctx, o.Sizes); err != nil {
		return nil, err
	}
	for _, size := range o.Sizes {
		up := Row{Scenario: "media", Case: "upload of " + bytesOf(int64(size)), Bytes: int64(size)}
		down := Row{Scenario: "media", Case: "download of " + bytesOf(int64(size)), Bytes: int64(size)}
		paths, err := m.uploads(ctx, &up, o.Repeats)
		if err == nil {
			rows = append(rows, up)
			err = m.downloads(ctx, &down, paths)
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, down)
	}
	more, err := m.thumbnails(ctx, o)
	return append(rows, more...), err
}

// mediaRun is a user who uploads and downloads.
type mediaRun struct {
	g      *Generator
	client *client
	token  string
}

// admitted asks the server whether it takes files of these sizes.
func (m *mediaRun) admitted(ctx context.Context, sizes []int) error {
	var config struct {
		Most *int64 `json:"m.upload.size"`
	}
	if err := (call{method: "GET", path: "/_matrix/client/v1/media/config", token: m.token, result: &config}).do(ctx, m.client); err != nil {
		return err
	}
	for _, size := range sizes {
		if config.Most != nil && int64(size) > *config.Most {
			return fmt.Errorf("the server takes files of at most %s, and not of %s", bytesOf(*config.Most), bytesOf(int64(size)))
		}
	}
	return nil
}

// watched does something again and again, and tells in the row how long each took,
// and how much memory the server needed.
func (m *mediaRun) watched(ctx context.Context, row *Row, times int, do func(i int) error) error {
	m.g.o.Progress("%s: %s", row.Scenario, row.Case)
	var latency Histogram
	meter, err := m.g.measure()
	if err != nil {
		return err
	}
	most := watchMemory(ctx, m.g.o.Processes)
	for i := 0; i < times && err == nil; i++ {
		began := time.Now()
		err = do(i)
		latency.Record(time.Since(began))
	}
	peak := most()
	if stopped := meter.stop(row); err == nil {
		err = stopped
	}
	row.count(&latency)
	if row.Server != nil {
		row.note("%s more memory than before, at most", bytesOf(max(0, peak-row.Server.Before)))
	}
	return err
}

// speed tells how fast bytes have passed.
func (r *Row) speed() {
	if r.Seconds > 0 {
		r.note("%s a second", bytesOf(int64(float64(r.Bytes)*r.Rate)))
	}
}

// uploads uploads files one after the other, and returns their paths.
func (m *mediaRun) uploads(ctx context.Context, row *Row, times int) (paths []string, err error) {
	err = m.watched(ctx, row, times, func(i int) error {
		path, err := m.upload(ctx, "application/octet-stream", fmt.Appendf(nil, "%s %d %d ", m.g.run, row.Bytes, i), row.Bytes)
		paths = append(paths, path)
		return err
	})
	row.speed()
	return paths, err
}

// upload uploads a file that begins with something, and goes on to its size with
// what costs nothing to make. It returns where it is then.
func (m *mediaRun) upload(ctx context.Context, kind string, begin []byte, size int64) (path string, err error) {
	head := m.g.o.Target.upload(m.token, kind, size)
	r, err := m.client.stream(ctx, head, begin[:min(int64(len(begin)), size)], size)
	if err == nil && r.status != 200 {
		err = newRefusal(r)
	}
	if err != nil {
		return "", fmt.Errorf("uploading: %w", err)
	}
	var answer struct {
		URI string `json:"content_uri"`
	}
	if err := (call{path: "upload", result: &answer}).decode(r.body); err != nil {
		return "", err
	}
	path, ok := strings.CutPrefix(answer.URI, "mxc://")
	if !ok {
		return "", fmt.Errorf("%.100q is no content URI", answer.URI)
	}
	return path, nil
}

func (m *mediaRun) downloads(ctx context.Context, row *Row, paths []string) error {
	err := m.watched(ctx, row, len(paths), func(i int) error {
		n, err := m.get(ctx, m.client, "download/"+paths[i])
		if err == nil && n != row.Bytes {
			err = fmt.Errorf("%d bytes came back of %d", n, row.Bytes)
		}
		return err
	})
	row.speed()
	return err
}

// get gets a file, and returns how many bytes it has.
func (m *mediaRun) get(ctx context.Context, c *client, path string) (int64, error) {
	n, r, err := c.swallow(ctx, []byte(m.g.o.Target.head("GET", "/_matrix/client/v1/media/"+path, m.token, -1)))
	if err == nil && r.status != 200 {
		err = newRefusal(r)
	}
	if err != nil {
		return 0, fmt.Errorf("getting %s: %w", path, err)
	}
	return n, nil
}

// thumbnails has photos drawn, one after the other and several at once, and gets the
// same thumbnails again.
func (m *mediaRun) thumbnails(ctx context.Context, o Media) (rows []Row, err error) {
	m.g.o.Progress("making a photo")
	photo, err := photoOf(o.Side)
	if err != nil {
		return nil, err
	}
	paths := make([]string, o.Pictures)
	for i := range paths {
		one := marked(photo, fmt.Sprintf("%s %d", m.g.run, i))
		if paths[i], err = m.upload(ctx, "image/jpeg", one, int64(len(one))); err != nil {
			return nil, err
		}
	}
	what := fmt.Sprintf("thumbnails of JPEG of %.1f megapixels, ", float64(o.Side)*float64(o.Side*3/4)/1e6)
	drawn := thumbnailPaths(paths, 320, 240)
	for _, phase := range []struct {
		name     string
		paths    []string
		times    int
		together int
	}{
		{"one by one", drawn, o.Pictures, 1},
		{fmt.Sprintf("%d at once", o.Together), thumbnailPaths(paths, 800, 600), o.Pictures, o.Together},
		{"drawn before", drawn, o.Cached, 1},
	} {
		row := Row{Scenario: "media", Case: what + phase.name}
		if phase.together > 1 {
			err = m.watched(ctx, &row, 1, func(int) error { return m.getTogether(ctx, phase.paths, phase.together) })
			row.Count, row.Rate = int64(len(phase.paths)), row.Rate*float64(len(phase.paths))
		} else {
			err = m.watched(ctx, &row, phase.times, func(i int) error {
				_, err := m.get(ctx, m.client, phase.paths[i%len(phase.paths)])
				return err
			})
		}
		if err != nil {
			return rows, err
		}
		if row.Server != nil {
			row.note("%.3g ms of the server's processor time for each", row.Server.Cores*row.Seconds/float64(row.Count)*1e3)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (m *mediaRun) getTogether(ctx context.Context, paths []string, together int) error {
	return parallel(ctx, together, func(ctx context.Context, next func() int) error {
		c := newClient(m.g.o.Target)
		defer c.hangUp()
		for i := next(); i < len(paths); i = next() {
			if _, err := m.get(ctx, c, paths[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// thumbnailPaths are the paths of thumbnails of a size.
func thumbnailPaths(paths []string, width, height int) []string {
	query := "?" + url.Values{"width": {fmt.Sprint(width)}, "height": {fmt.Sprint(height)}, "method": {"scale"}}.Encode()
	all := make([]string, len(paths))
	for i, p := range paths {
		all[i] = "thumbnail/" + p + query
	}
	return all
}

// photoOf is a JPEG with as much in it as a photo has.
func photoOf(side int) ([]byte, error) {
	m := image.NewYCbCr(image.Rect(0, 0, side, side*3/4), image.YCbCrSubsampleRatio420)
	random := rand.New(rand.NewPCG(1, 1))
	for y := range m.Rect.Dy() {
		for x := range side {
			m.Y[m.YOffset(x, y)] = uint8(40 + 100*x/side + 60*y/m.Rect.Dy() + random.IntN(24))
		}
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = uint8(100+i%40), uint8(120+i*60/len(m.Cb))
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 88})
	return b.Bytes(), err
}

// marked is a JPEG with a comment, by which it differs from others.
func marked(photo []byte, comment string) []byte {
	segment := append([]byte{0xff, 0xfe, byte((len(comment) + 2) >> 8), byte(len(comment) + 2)}, comment...)
	return bytes.Join([][]byte{photo[:2], segment, photo[2:]}, nil)
}
