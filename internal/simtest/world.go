package simtest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parley/internal/config"
	"parley/internal/hstest"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// A world is a simulation under way.
type world struct {
	testing.TB
	seed    uint64
	rng     *rand.Rand // decides what happens
	checks  *rand.Rand // decides what of it is looked at closely
	servers []*hstest.Server
	admin   *hstest.User // of the one server
	// federation is what there is besides, if there are several servers.
	*federation

	people  []*person
	rooms   []*place
	streams []*stream

	sent map[string]sending // by event ID
	last string             // who did something last
	// recounted is a user who has just changed a push rule, or empty.
	recounted string
	txns      int
	step      int
	stats     map[string]int
	trace     []string
}

// A person has devices, and one that nobody but the oracle uses.
type person struct {
	id      string
	devices []*hstest.User
	watcher *hstest.User
	forgot  map[string]bool // rooms, perhaps
	ignored map[string]bool // users, ever, and perhaps
	ruled   bool            // has push rules of the person's own, perhaps
	// saw are the events that the person was ever shown, by room.
	saw map[string]map[string]bool
}

// A place is a room as those who act in it know it, roughly.
type place struct {
	id      string
	version string
	members map[string]string // what users are to it
	events  []known
	aliases []string
	back    map[string]string // where users go on to read its history
	// outcast are servers that were ever kept out.
	outcast map[id.ServerName]bool
	// purged says that something of its history is gone.
	purged bool
}

type known struct {
	id, sender, kind string
	state            bool
	relates          bool   // to another event
	thread           string // its root; empty for the main timeline
}

// sending is how an event was sent.
type sending struct {
	device *hstest.User
	txn    string
}

// emptyWorld is without servers and people.
func emptyWorld(t testing.TB, seed uint64) *world {
	return &world{
		TB: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), checks: rand.New(rand.NewPCG(seed, 1)),
		sent: make(map[string]sending), stats: make(map[string]int),
	}
}

// newWorld starts a server and registers people.
func newWorld(t testing.TB, seed uint64, database string) *world {
	w := emptyWorld(t, seed)
	server := hstest.New(t).Server("sim.test", func(c *config.Config) { c.Database = config.Secret(database) })
	w.servers = []*hstest.Server{server}
	w.admin = server.Register("admin")
	if err := server.Accounts().SetAdmin(t.Context(), w.admin.ID, true); err != nil {
		t.Fatal(err)
	}
	for range 6 + w.rng.IntN(3) {
		w.settler(server)
	}
	return w
}

// settler registers somebody.
func (w *world) settler(server *hstest.Server) {
	u := server.Register(fmt.Sprintf("u%d", len(w.people)))
	p := &person{
		id: string(u.ID), devices: []*hstest.User{u}, watcher: u.Login(),
		forgot: make(map[string]bool), ignored: make(map[string]bool), saw: make(map[string]map[string]bool),
	}
	if w.chance(40) {
		p.devices = append(p.devices, u.Login())
	}
	w.people = append(w.people, p)
}

func (p *person) server() *hstest.Server { return p.watcher.Server }

func (w *world) roomIDs() []string {
	var ids []string
	for _, r := range w.rooms {
		ids = append(ids, r.id)
	}
	return ids
}

func (w *world) userIDs() []string {
	var ids []string
	for _, p := range w.people {
		ids = append(ids, p.id)
	}
	return ids
}

func (w *world) count(what string) { w.stats[what]++ }

// note keeps what happened for the report of a failure.
func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%5d  ", w.step)+fmt.Sprintf(format, args...))
}

// fail ends the test with what led to the failure.
func (w *world) fail(format string, args ...any) {
	w.Helper()
	message := fmt.Sprintf("seed %d, step %d: %s\n\nwhat happened:\n%s", w.seed, w.step, fmt.Sprintf(format, args...), strings.Join(w.trace, "\n"))
	message = regexp.MustCompile(`(s1)_[A-Z0-9]+(_[0-9]+)_[A-Z0-9]+(_[0-9]+)`).ReplaceAllString(message, "$1$2$3")
	message = regexp.MustCompile(`\{"content":\{"global":.*?"type":"m.push_rules"\}`).ReplaceAllString(message, "{push rules}")
	w.Fatal(numbered(w.short().Replace(message)))
}

// numbered replaces the IDs of events that are left by numbers, too.
func numbered(message string) string {
	numbers := make(map[string]string)
	return regexp.MustCompile(`\$[A-Za-z0-9_+/-]{10,}(:[a-z.]+)?`).ReplaceAllStringFunc(message, func(eventID string) string {
		if numbers[eventID] == "" {
			numbers[eventID] = fmt.Sprintf("$m%d", len(numbers)+1)
		}
		return numbers[eventID]
	})
}

// short replaces identifiers, which are long and in every run others, by
// numbers.
func (w *world) short() *strings.Replacer {
	var pairs []string
	n := 0
	for i, r := range w.rooms {
		pairs = append(pairs, r.id, fmt.Sprintf("R%d", i), url.PathEscape(r.id), fmt.Sprintf("R%d", i))
		for _, e := range r.events {
			n++
			pairs = append(pairs, e.id, fmt.Sprintf("$%d", n))
		}
	}
	for i, p := range w.people {
		if w.federation == nil {
			pairs = append(pairs, p.id, fmt.Sprintf("@u%d", i))
		}
		for j, d := range p.devices {
			pairs = append(pairs, string(d.Device), fmt.Sprintf("D%d", j))
		}
	}
	return strings.NewReplacer(pairs...)
}

// get reads something for the oracle. Only what is refused or does not exist may
// have another status than 200.
func (w *world) get(who *hstest.User, path string) (int, canonjson.Value) {
	w.Helper()
	status, response, err := who.Try("GET", path, nil)
	if err != nil && w.isDown(who.Server) {
		return 0, nil
	}
	if err != nil {
		w.fail("GET %s: %v", path, err)
	}
	w.sane("GET "+path, status, response)
	return status, response
}

// sane holds any response against what is true of all.
func (w *world) sane(request string, status int, response canonjson.Value) {
	w.Helper()
	if status >= http.StatusInternalServerError || response.Kind() == canonjson.Absent {
		w.fail("%s: %d %s", request, status, response)
	}
	if status != http.StatusOK && text(response, "errcode") == "" {
		w.fail("%s: %d without an error code: %s", request, status, response)
	}
}

// report says what the simulation consisted of.
func (w *world) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d steps:", w.seed, w.step)
	for _, what := range slices.Sorted(maps.Keys(w.stats)) {
		fmt.Fprintf(&b, " %s %d,", what, w.stats[what])
	}
	return strings.TrimSuffix(b.String(), ",")
}
