package feed

import "context"

// mostToDevice is how many messages to a device an answer has.
const mostToDevice = 100

// acknowledge takes in that a device has what it was told.
func (f *Feed) acknowledge(ctx context.Context, q Request) error {
	if f.ToDevice == nil || q.Device == "" || q.told == 0 {
		return nil
	}
	return f.ToDevice.Acknowledge(ctx, q.User, q.Device, q.told)
}

// tellDevice tells the device what is sent to it. What does not fit is for the next
// answer, and the token says where that goes on.
func (a *answer) tellDevice(ctx context.Context) error {
	if a.ToDevice == nil || a.q.stream || a.q.Device == "" {
		return nil
	}
	messages, told, err := a.ToDevice.Read(ctx, a.q.User, a.q.Device, a.q.told, a.now.Pos, mostToDevice)
	if err != nil {
		return err
	}
	if a.toDevice = messages; told < a.now.Pos {
		a.now.Queue = told
		a.Response.Next = a.now
	}
	return nil
}
