package hstest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"parley/internal/memnet"
	"parley/internal/openapi"
	"parley/matrix/id"
)

// A Fate is what becomes of a request that one server makes of another. The zero
// value is that it arrives at once, and so does its answer.
type Fate struct {
	// Delay is how long the request takes, Answer how long the answer does.
	Delay, Answer time.Duration
	// Lost: it never arrives. AnswerLost: the answer does not. In both cases the
	// connection breaks then.
	Lost, AnswerLost bool
	// Again, if not 0, is how long after the first time it arrives a second time.
	Again time.Duration
}

// post is who carries requests between servers.
type post struct {
	w      *World
	fate   func(from, to id.ServerName, r *http.Request) Fate
	client *http.Client
	// carried is told of each request that arrives.
	carried func(to id.ServerName, r *http.Request)
	// answered is told of what was asked, and what comes of it.
	answered func(asked []byte, answer openapi.Response)
	// busy is requests that are carried, and those that arrive a second time.
	busy sync.WaitGroup
}

// Post has what one server asks another carried by somebody who asks what is to
// become of it. It is called before there are servers; fate is called from any
// goroutine.
func (w *World) Post(fate func(from, to id.ServerName, r *http.Request) Fate) {
	transport := &http.Transport{DialContext: w.dialClients, MaxIdleConnsPerHost: 50, DisableCompression: true}
	w.post = &post{w: w, fate: fate, client: &http.Client{Transport: transport}}
	w.Cleanup(func() {
		w.post.busy.Wait()
		transport.CloseIdleConnections()
	})
}

// Carried has f told of each request that arrives at a server. It is called before
// there are servers; f is called from any goroutine.
func (w *World) Carried(f func(to id.ServerName, r *http.Request)) { w.post.carried = f }

// Answered has f told of each answer that a request gets which is carried, with the body of
// the request. It is called before there are servers; f is called from any goroutine.
func (w *World) Answered(f func(asked []byte, answer openapi.Response)) { w.post.answered = f }

// callerKey names the server that made a connection, in the context of its
// requests.
type callerKey struct{}

// serve takes requests to a server, whether it runs or not, until the test ends.
func (p *post) serve(name id.ServerName) {
	s := &http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, callerKey{}, id.ServerName(memnet.Caller(c)))
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			from, _ := r.Context().Value(callerKey{}).(id.ServerName)
			p.carry(w, r, from, name)
		}),
	}
	listener := p.w.Net.Listen(string(name) + ":8448")
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(p.w.secured(name, listener))
	}()
	p.w.Cleanup(func() {
		s.Close()
		<-done
	})
}

// carry carries one request.
func (p *post) carry(w http.ResponseWriter, r *http.Request, from, to id.ServerName) {
	p.busy.Add(1)
	defer p.busy.Done()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fate := p.fate(from, to, r)
	// Who gives up asking does not take the request back.
	time.Sleep(fate.Delay)
	if fate.Lost {
		panic(http.ErrAbortHandler)
	}
	header := r.Header.Clone()
	if fate.Again > 0 {
		p.busy.Go(func() {
			time.Sleep(fate.Again)
			p.deliver(context.Background(), r, header, body, to)
		})
	}
	status, h, answer, err := p.deliver(context.WithoutCancel(r.Context()), r, header, body, to)
	if err != nil || fate.AnswerLost {
		panic(http.ErrAbortHandler)
	}
	time.Sleep(fate.Answer)
	for name, values := range h {
		w.Header()[name] = values
	}
	w.WriteHeader(status)
	w.Write(answer)
}

// deliver hands a request to its server.
func (p *post) deliver(ctx context.Context, r *http.Request, header http.Header, body []byte, to id.ServerName) (int, http.Header, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, r.Method, "http://"+string(to)+r.RequestURI, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	request.Header, request.Host = header, r.Host
	if p.carried != nil {
		p.carried(to, r)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && p.answered != nil {
		p.answered(body, openapi.Response{
			Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Status: response.StatusCode, Header: response.Header, Body: answer,
		})
	}
	return response.StatusCode, response.Header, answer, err
}
