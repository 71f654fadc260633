package simtest

// A kind of deed is something that people do. Each is in the file of its subject,
// and in the table below.
type kind struct {
	often int
	// think thinks of something to do in a room, or of nothing.
	think func(*place) (deed, bool)
}

// kinds are all that people do, once there are rooms. Where there are several
// servers, they do what is in the second table, too.
func (w *world) kinds() []kind {
	list := []kind{
		{30, always(w.message)},
		{10, always(w.state)},
		{6, w.redact},
		{25, always(w.move)},
		{8, w.receipt},
		{5, always(w.typing)},
		{3, anywhere(w.profile)},
		{8, always(w.keep)},
		{3, anywhere(w.pushRule)},
		{3, anywhere(w.ignore)},
		{2, anywhere(w.presence)},
		{2, always(w.alias)},
		{6, anywhere(w.keys)},
	}
	if w.federation == nil {
		return list
	}
	return append(list, []kind{
		{2, w.upgrade},
		{2, w.lists},
		{4, w.readBack},
		{6, always(w.joinRule)},
	}...)
}

func always(think func(*place) deed) func(*place) (deed, bool) {
	return func(r *place) (deed, bool) { return think(r), true }
}

func anywhere(think func() deed) func(*place) (deed, bool) {
	return func(*place) (deed, bool) { return think(), true }
}

// deed thinks of something to do.
func (w *world) deed() deed {
	if len(w.rooms) < 2 || len(w.rooms) < 9 && w.chance(2) {
		return w.createRoom()
	}
	r := w.place()
	kinds := w.kinds()
	sum := 0
	for _, k := range kinds {
		sum += k.often
	}
	for {
		n := w.rng.IntN(sum)
		for _, k := range kinds {
			if n -= k.often; n >= 0 {
				continue
			}
			if d, ok := k.think(r); ok {
				return d
			}
			break
		}
	}
}
