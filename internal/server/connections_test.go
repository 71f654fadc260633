package server

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"parley/internal/memnet"
)

func TestConnectionLimit(t *testing.T) {
	for _, tt := range []struct {
		files uint64
		want  int
	}{
		{0, 20_000}, {64, 32}, {256, 128}, {1024, 768}, {1 << 20, 20_000}, {1<<64 - 1, 20_000},
	} {
		if got := connectionLimit(tt.files); got != tt.want {
			t.Errorf("with %d files: got %d, want %d", tt.files, got, tt.want)
		}
	}
}

func TestConnectionsWaitUntilOthersAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		l := limitConnections(network.Listen("a.test"), make(chan struct{}, 2))
		accepted := make(chan net.Conn)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("the listener ended with %v", err)
					}
					close(accepted)
					return
				}
				accepted <- c
			}
		}()
		for range 3 {
			go network.Dial(t.Context(), "a.test")
		}
		first := <-accepted
		<-accepted
		synctest.Wait()
		select {
		case <-accepted:
			t.Fatal("there are three connections, want two")
		default:
		}
		first.Close()
		first.Close() // as net/http may; it counts once
		<-accepted
		synctest.Wait()
		l.Close()
		if _, ok := <-accepted; ok {
			t.Error("a connection came after the end")
		}
	})
}

func TestConnectionsOverTCPCanCloseOneDirection(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	slots := make(chan struct{}, 1)
	l := limitConnections(inner, slots)
	defer l.Close()
	for range 2 {
		client, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := c.(interface{ CloseWrite() error }); !ok {
			t.Errorf("%T cannot, and net/http wants it to", c)
		}
		if err := c.Close(); err != nil || len(slots) != 0 {
			t.Errorf("closing: %v, %d slots are taken", err, len(slots))
		}
	}
}
