package loadgen

import (
	"bytes"
	"image/jpeg"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestMediaPassesEveryByteAndDrawsEachPhoto(t *testing.T) {
	f := newFake()
	rows, err := f.generator(t, Options{Processes: []int{os.Getpid()}}).Media(t.Context(), Media{
		Sizes: []int{5, 1_000_000}, Repeats: 2, Side: 200, Pictures: 3, Together: 2, Cached: 7,
	})
	rows = rowsOf(t, rows, err, 7)
	for i, want := range []struct {
		name  string
		count int64
		note  string
	}{
		{"upload of 5 B", 2, "a second"}, {"download of 5 B", 2, "a second"},
		{"upload of 1,000 kB", 2, "more memory"}, {"download of 1,000 kB", 2, "more memory"},
		{"thumbnails of JPEG of 0.0 megapixels, one by one", 3, "processor time for each"},
		{"thumbnails of JPEG of 0.0 megapixels, 2 at once", 3, "processor time for each"},
		{"thumbnails of JPEG of 0.0 megapixels, drawn before", 7, "processor time for each"},
	} {
		row := rows[i]
		if row.Case != want.name || row.Count != want.count || !has(row, want.note) {
			t.Errorf("got %+v, want %d of %s", row, want.count, want.name)
		}
	}
	if got := f.files[:4]; !slices.Equal(got, []int64{5, 5, 1_000_000, 1_000_000}) || len(f.files) != 7 {
		t.Errorf("the files have %d bytes", f.files)
	}
	small, large := 0, 0
	for _, one := range f.drawn {
		if strings.HasSuffix(one, " 320") {
			small++
		} else {
			large++
		}
	}
	if small != 3+7 || large != 3 {
		t.Errorf("these were drawn: %q", f.drawn)
	}
}

func TestMediaEndsWhereTheServerTakesNoSuchFiles(t *testing.T) {
	f := newFake()
	f.maxUpload = 10
	o := Media{Sizes: []int{11}, Repeats: 1, Side: 200, Pictures: 1, Together: 1, Cached: 1}
	_, err := f.generator(t, Options{}).Media(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "at most 10 B") {
		t.Errorf("got %v", err)
	}
	if o.Side = 5; o.check() == nil {
		t.Error("a photo of 5 pixels is taken")
	}
}

func TestPhotosDifferAndAreWhole(t *testing.T) {
	photo, err := photoOf(400)
	if err != nil {
		t.Fatal(err)
	}
	one, two := marked(photo, "one"), marked(photo, "two")
	if bytes.Equal(one, two) {
		t.Error("they are the same")
	}
	m, err := jpeg.Decode(bytes.NewReader(one))
	if err != nil || m.Bounds().Dx() != 400 || m.Bounds().Dy() != 300 {
		t.Errorf("got %v, %v", m, err)
	}
}
