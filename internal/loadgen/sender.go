package loadgen

import (
	"context"
	"fmt"
)

// sender is a client that sends messages into rooms, in turn.
type sender struct {
	client   *client
	messages []message // one for each room
	serial   int64     // of the next message, where the sender counts them
	request  []byte
}

// newMark returns a text that no other message of any run contains.
func (g *Generator) newMark() string {
	g.marks++
	return fmt.Sprintf("bench-%s-%d:", g.run, g.marks)
}

// newSender returns a sender whose messages bear a mark. Number is different for
// the senders with one mark.
func (g *Generator) newSender(a account, rooms []string, mark string, number, length int) *sender {
	s := &sender{client: newClient(g.o.Target)}
	transaction := fmt.Sprintf("%s%d-", mark, number)
	for _, r := range rooms {
		s.messages = append(s.messages, newMessage(g.o.Target, r, a.Token, transaction, mark, length))
	}
	return s
}

// put sends a message into a room, given by its number.
func (s *sender) put(ctx context.Context, room int, serial int64) (response, error) {
	s.request = s.messages[room].append(s.request[:0], serial)
	return s.client.do(ctx, s.request, setupPatience)
}

// next sends the next of the messages that the sender counts itself.
func (s *sender) next(ctx context.Context) (response, error) {
	serial := s.serial
	s.serial++
	return s.put(ctx, int(serial)%len(s.messages), serial)
}

// insist sends a message until it is accepted, and returns an error if there is
// no hope.
func (s *sender) insist(ctx context.Context, room int, serial int64) error {
	var f faults
	var untimed Histogram
	s.request = s.messages[room].append(s.request[:0], serial)
	_, err := f.insist(ctx, s.client, s.request, &untimed)
	return err
}
