package memnet

import (
	"io"
	"testing"
)

func TestConnectionsReachWhoListens(t *testing.T) {
	n := New()
	l := n.Listen("a.test")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "from "+c.RemoteAddr().String()[:9])
			c.Close()
		}
	}()
	for range 3 {
		c, err := n.Dial(t.Context(), "a.test")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); string(got) != "from 127.0.0.1" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if _, err := n.Dial(t.Context(), "b.test"); err == nil {
		t.Error("b.test answers")
	}
	l.Close()
	if _, err := n.Dial(t.Context(), "a.test"); err == nil {
		t.Error("a.test answers after its end")
	}
	n.Listen("a.test").Close()
}

func TestSeveredConnectionsBreak(t *testing.T) {
	n := New()
	l := n.Listen("a.test")
	accepted := make(chan struct{})
	go func() {
		l.Accept()
		close(accepted)
	}()
	c, err := n.Dial(t.Context(), "a.test")
	if err != nil {
		t.Fatal(err)
	}
	<-accepted
	l.Sever()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still there")
	}
}

func TestWhoWritesTooMuchCanReadTheAnswer(t *testing.T) {
	n := New()
	l := n.Listen("a.test")
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.ReadFull(c, make([]byte, 5))
		io.WriteString(c, "enough")
		c.Close()
	}()
	c, err := n.Dial(t.Context(), "a.test")
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan string)
	go func() {
		text, _ := io.ReadAll(c)
		answer <- string(text)
	}()
	for range 3 {
		if n, err := io.WriteString(c, "0123456789"); n != 10 || err != nil {
			t.Errorf("writing: got %d, %v", n, err)
		}
	}
	if got := <-answer; got != "enough" {
		t.Errorf("got %q", got)
	}
	c.Close()
	if _, err := io.WriteString(c, "x"); err == nil {
		t.Error("who has closed the connection can write")
	}
}
