// Package roomtest builds rooms for tests and benchmarks: graphs of real
// events, hashed and signed, in any room version.
//
// A [Room] is one graph. A [Branch] is a place in it where the next event goes,
// with the state there; Fork makes two places of one, and [Room.Merge] one of
// several. What an event says is a [Spec]; functions named after what a user
// does ([Join], [Ban], [PowerLevels], ...) make the usual ones, and a caller may
// change any field before sending them:
//
//	room := roomtest.New(t, "10")
//	main := room.Create(roomtest.Alice, nil)
//	main.Send(roomtest.Join(roomtest.Alice), roomtest.JoinRules(roomtest.Alice, "public"))
//	fork := main.Fork()
//	main.Send(roomtest.Join(roomtest.Bob))
//	e := fork.Build(roomtest.Message(roomtest.Bob, "am I in?")) // not part of the room
//	err := eventauth.Check(e, fork)
//
// Everything is determined by the calls: keys by the name of their server,
// times and event IDs by how many events were built before. Two runs make the
// same bytes.
//
// Nothing is judged. An event is built and takes its place in the state even
// when the authorization rules would refuse it, unless its Spec says that it
// was rejected. States are resolved only by what the caller passes to Merge, so
// that the tests of state resolution can use this package too.
//
// What cannot be built at all, such as an event that is too large, fails the
// test at once; [Branch.TryBuild] returns the error instead. Rooms are not safe
// for concurrent use, their events are.
package roomtest
