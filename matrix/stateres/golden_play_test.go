package stateres_test

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

const (
	goldenStart = 1_600_000_000_000 // the time of the first line
	goldenStep  = 10                // from one line to the next
	goldenTrunk = "main"
)

// playGolden plays a script in each of its versions.
func playGolden(t *testing.T, file string, s *goldenScript) *goldenResults {
	t.Helper()
	results := &goldenResults{versions: s.versions}
	for _, version := range s.versions {
		g := &goldenGame{
			t:        t,
			version:  version,
			room:     roomtest.New(t, version),
			verifier: event.NewVerifier(0),
			branches: make(map[string]*roomtest.Branch),
			current:  goldenTrunk,
			events:   make(map[string]*event.Event),
			labels:   make(map[id.EventID]string),
			rejected: make(map[id.EventID]bool),
			results:  results,
		}
		for i, line := range s.lines {
			if !line.in(version) {
				continue
			}
			g.time = goldenStart + goldenStep*int64(i)
			if err := g.play(line); err != nil {
				t.Fatalf("%s:%d: version %s: %v", file, line.num, version, err)
			}
		}
	}
	return results
}

// goldenGame is a room in one version.
type goldenGame struct {
	t        *testing.T
	version  roomver.Version
	room     *roomtest.Room
	verifier *event.Verifier
	branches map[string]*roomtest.Branch
	current  string
	time     int64 // of the line, in milliseconds since 1970
	events   map[string]*event.Event
	labels   map[id.EventID]string
	rejected map[id.EventID]bool
	results  *goldenResults
}

func (g *goldenGame) branch() *roomtest.Branch { return g.branches[g.current] }

func (g *goldenGame) play(l goldenLine) error {
	if l.verb == "create" {
		return g.create(l)
	}
	if g.room.CreateEvent() == nil {
		return errors.New("the room is not created yet")
	}
	switch l.verb {
	case "branch":
		return g.fork(l.args)
	case "on":
		g.current = l.args[0]
		if g.branch() == nil {
			return fmt.Errorf("no branch %s", l.args[0])
		}
		return nil
	case "merge":
		return g.merge(l)
	case "pretend":
		return g.pretend(l.args)
	case "forget":
		t := event.Tuple{Type: l.args[0], StateKey: g.stateKey(l.args[1:])}
		g.changeState(func(state eventauth.MapState) { delete(state, t) })
		return nil
	}
	return g.send(l)
}

// fork begins a branch.
func (g *goldenGame) fork(args []string) error {
	name, from := args[0], g.branches[goldenTrunk]
	if len(args) == 3 && args[1] == "from" {
		from = g.branches[args[2]]
		if args[2] == "nothing" {
			from = g.room.Merge(func(*roomtest.Room, []eventauth.MapState) eventauth.MapState { return eventauth.MapState{} })
		}
	}
	if from == nil {
		return fmt.Errorf("no branch %s", args[2])
	}
	g.branches[name] = from.Fork()
	g.current = name
	return nil
}

func (g *goldenGame) pretend(labels []string) error {
	for _, label := range labels {
		e := g.events[label]
		if e == nil {
			return fmt.Errorf("no event %s", label)
		}
		t, _ := e.Tuple()
		g.changeState(func(state eventauth.MapState) { state[t] = e })
	}
	return nil
}

func (g *goldenGame) changeState(change func(eventauth.MapState)) {
	g.branches[g.current] = g.room.Merge(func(_ *roomtest.Room, states []eventauth.MapState) eventauth.MapState {
		change(states[0])
		return states[0]
	}, g.branch())
}

func (g *goldenGame) create(l goldenLine) error {
	content, err := g.expand(l.json)
	if err != nil {
		return err
	}
	g.branches[goldenTrunk] = g.room.Create(goldenUser(l.args[0]), content)
	return g.record(l, g.room.CreateEvent(), g.judge(g.room.CreateEvent(), eventauth.MapState{}))
}

// send builds an event, asks the rules about it, and sends it: into the state
// only when they allow it.
func (g *goldenGame) send(l goldenLine) error {
	spec, err := g.spec(l)
	if err != nil {
		return err
	}
	e, err := g.grind(l, &spec)
	if err != nil {
		why := goldenPosition.ReplaceAllString(err.Error(), "")
		g.results.add(l, g.version, goldenVerdict{text: "dropped: " + why, refused: true})
		return nil
	}
	verdict := g.judge(e, g.branch().State())
	if e.RoomID() != g.room.ID() {
		verdict.text += ", for another room"
		verdict.refused = true
	} else if verdict.refused {
		g.rejected[e.ID()] = true
	}
	spec.Rejected = verdict.refused
	return g.record(l, g.branch().Send(spec), verdict)
}

func (g *goldenGame) record(l goldenLine, e *event.Event, v goldenVerdict) error {
	if g.events[l.label] != nil {
		return fmt.Errorf("two events %s", l.label)
	}
	g.events[l.label], g.labels[e.ID()] = e, l.label
	g.results.add(l, g.version, v)
	return nil
}

// judge asks the rules about an event, in the state that its auth events make
// and in the state before it.
func (g *goldenGame) judge(e *event.Event, before eventauth.State) goldenVerdict {
	g.t.Helper()
	known := eventauth.AuthEvents{
		Events:   g.room.AuthEvents(e),
		Rejected: func(eventID id.EventID) bool { return g.rejected[eventID] },
		SignedBy: func(server id.ServerName) bool {
			return g.verifier.VerifyServer(e, server, roomtest.Keys) == nil
		},
	}
	if g.room.Rules().RoomIDFromCreate {
		known.Create = g.room.CreateEvent()
	}
	byAuth := eventauth.CheckAuthEvents(e, known)
	if byAuth == nil {
		byAuth = eventauth.Check(e, eventauth.AuthState(known.Events, known.Create))
	}
	return newVerdict(g.refusal(byAuth), g.refusal(eventauth.Check(e, before)))
}

func (g *goldenGame) refusal(err error) *eventauth.Refusal {
	var refusal *eventauth.Refusal
	if err != nil && !errors.As(err, &refusal) {
		g.t.Fatalf("version %s: %v", g.version, err)
	}
	return refusal
}

// grind builds an event, as many times as it takes for its ID to sort as the
// line demands.
func (g *goldenGame) grind(l goldenLine, spec *roomtest.Spec) (*event.Event, error) {
	var fits func(id.EventID) bool
	if label, ok := l.attrs["id-before"]; ok {
		fits = func(eventID id.EventID) bool { return eventID < g.id(label) }
	}
	if label, ok := l.attrs["hash-before"]; ok {
		other := sha1.Sum([]byte(g.id(label)))
		fits = func(eventID id.EventID) bool {
			own := sha1.Sum([]byte(eventID))
			return bytes.Compare(own[:], other[:]) < 0
		}
	}
	if fits == nil {
		return g.branch().TryBuild(*spec)
	}
	content := spec.Content.(canonjson.Value)
	for n := range 1000 {
		spec.Content = content.With("n", canonjson.Value(strconv.Itoa(n)))
		spec.ID = id.EventID(fmt.Sprintf("$%d-%s:%s", n, l.label, spec.Sender.Server()))
		e, err := g.branch().TryBuild(*spec)
		if err != nil || fits(e.ID()) {
			return e, err
		}
	}
	g.t.Fatalf("line %d: found no event ID that sorts as wanted", l.num)
	return nil, nil
}

func (g *goldenGame) id(label string) id.EventID {
	e := g.events[label]
	if e == nil {
		g.t.Fatalf("no event %s yet", label)
	}
	return e.ID()
}

// merge resolves the states of branches.
func (g *goldenGame) merge(l goldenLine) error {
	names, into := l.args, goldenTrunk
	if n := len(names); n > 2 && names[n-2] == "as" {
		names, into = names[:n-2], names[n-1]
	}
	var branches []*roomtest.Branch
	for _, name := range names {
		if g.branches[name] == nil {
			return fmt.Errorf("no branch %s", name)
		}
		branches = append(branches, g.branches[name])
	}
	m := goldenMerge{t: g.t, line: l.num, game: g}
	g.branches[into] = g.room.Merge(m.resolve, branches...)
	g.current = into
	g.results.add(l, g.version, goldenVerdict{text: m.text()})
	return nil
}

// name is how results call an event.
func (g *goldenGame) name(e *event.Event) string {
	if e == nil {
		return "nothing"
	}
	return g.labels[e.ID()]
}

// goldenPlace is how results call a place in the state.
func goldenPlace(t event.Tuple) string {
	key := t.StateKey
	if user, err := id.ParseUserID(key); err == nil && goldenUser(user.Localpart()) == user {
		key = "@" + user.Localpart()
	}
	return strings.TrimSpace(t.Type + " " + key)
}

// goldenUser returns the user of that name.
func goldenUser(name string) id.UserID {
	name = strings.TrimPrefix(name, "@")
	return id.UserID("@" + name + ":" + name[:1] + ".test")
}

var (
	goldenUserRef  = regexp.MustCompile(`^@[a-z0-9]+$`)
	goldenQuoted   = regexp.MustCompile(`"[@$][a-z0-9.-]+"`)
	goldenPosition = regexp.MustCompile(`^.* at byte [0-9]+: `)
	goldenRelative = regexp.MustCompile(`^([a-z0-9.-]*?)([+-]?[0-9]+)?$`)
)

// expand replaces users and labels in JSON.
func (g *goldenGame) expand(json string) (content canonjson.Value, err error) {
	json = goldenQuoted.ReplaceAllStringFunc(json, func(quoted string) string {
		name := strings.Trim(quoted, `"`)
		if name[0] == '@' {
			return `"` + string(goldenUser(name)) + `"`
		}
		return `"` + string(g.id(name[1:])) + `"`
	})
	return canonjson.Canonical([]byte(cmp.Or(json, "{}")), canonjson.Lenient)
}

func (g *goldenGame) stateKey(args []string) string {
	if len(args) == 0 || args[0] == `""` {
		return ""
	}
	if goldenUserRef.MatchString(args[0]) {
		return string(goldenUser(args[0]))
	}
	return args[0]
}

// placesOf returns the places that any of the states fills, sorted.
func placesOf(states ...eventauth.MapState) []event.Tuple {
	all := make(map[event.Tuple]bool)
	for _, state := range states {
		for t := range state {
			all[t] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b event.Tuple) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.StateKey, b.StateKey))
	})
}
