package media

import (
	"net/url"
	"strconv"
	"time"

	"parley/matrix/mxerr"
)

// WaitOf reads for how long who asks waits for content, negative if the query does
// not say.
func WaitOf(query url.Values) (time.Duration, error) {
	text := query.Get("timeout_ms")
	if text == "" {
		return -1, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 0 {
		return 0, mxerr.New(mxerr.InvalidParam, "timeout_ms is not a number of milliseconds")
	}
	return time.Duration(min(ms, longestWait.Milliseconds())) * time.Millisecond, nil
}

// ThumbnailOf reads which picture is wanted.
func ThumbnailOf(query url.Values) (t Thumbnail, err error) {
	for name, side := range map[string]*int{"width": &t.Width, "height": &t.Height} {
		text := query.Get(name)
		if text == "" {
			return t, mxerr.New(mxerr.MissingParam, "The %s is not there", name)
		}
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 1 {
			return t, mxerr.New(mxerr.InvalidParam, "The %s is not a number of pixels", name)
		}
		*side = int(n)
	}
	switch method := query.Get("method"); method {
	case "crop":
		t.Crop = true
	case "scale", "":
	default:
		return t, mxerr.New(mxerr.InvalidParam, "The method is neither crop nor scale")
	}
	switch animated := query.Get("animated"); animated {
	case "true":
		t.Animated = true
	case "false", "":
	default:
		return t, mxerr.New(mxerr.InvalidParam, "animated is neither true nor false")
	}
	return t, nil
}
