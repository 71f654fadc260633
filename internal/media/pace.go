package media

import (
	"context"
	"io"
	"time"
)

// How fast others have to be who are asked for media: an answer has to begin within
// answerTime, and come at so many bytes a second after some time. Those who are slower
// would keep places that others need.
const (
	answerTime = 30 * time.Second
	paceGrace  = 30 * time.Second
	paceRate   = 16 << 10
)

// A pace ends the context of what is done with another server when that is too slow.
type pace struct{ late *time.Timer }

// newPace returns the context of what is done, which has to be got on with in so much
// time. It is to be ended.
func newPace(ctx context.Context, within time.Duration) (context.Context, *pace, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	p := &pace{time.AfterFunc(within, cancel)}
	return ctx, p, func() {
		p.stop()
		cancel()
	}
}

// within begins anew: there is so much time from now on.
func (p *pace) within(d time.Duration) { p.late.Reset(d) }

// stop is for when the other server has done its part.
func (p *pace) stop() { p.late.Stop() }

// over returns what is read in time.
func (p *pace) over(r io.Reader) io.Reader {
	p.within(paceGrace)
	return &paced{r, p, time.Now().Add(paceGrace)}
}

type paced struct {
	io.Reader
	pace *pace
	due  time.Time // when it has to have got on
}

func (p *paced) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	// Who was fast may not rest for longer than others.
	left := min(time.Until(p.due)+time.Duration(n)*time.Second/paceRate, paceGrace)
	p.due = time.Now().Add(left)
	p.pace.within(left)
	return n, err
}
