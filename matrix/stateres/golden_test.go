package stateres_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/matrix/eventauth"
)

// Golden rooms are rooms as text, NAME.room, with what must become of them
// beside it, NAME.want. A room is played in each of its versions: its events
// are built and signed, held against the authorization rules, and where
// branches meet the states are resolved.
//
// A line is empty, a comment (#), a command or an event.
//
//	versions 2 6-11 12        the room versions; the first line that counts
//	[6-11] LINE               LINE in these versions only
//	branch NAME               goes on, by that name, where main is now; a name may
//	                          be used again
//	branch NAME from OTHER    goes on where OTHER is now; OTHER may be "nothing"
//	on NAME                   goes back to a branch, or to main
//	merge A B ... [as NAME]   goes on after all of them, as main or as NAME
//	pretend LABEL ...         the state here has these events in their places,
//	                          as if a server with wrong state had been believed
//	forget TYPE KEY           the state here has nothing in that place
//
// Events are "[LABEL:] VERB SENDER ARGUMENTS [JSON] [@ATTRIBUTES]". An event
// without a label gets its verb and users, "ban-alice-bob", and a number if
// that is taken. JSON is the content, or adds to it.
//
//	create U                  the create event; JSON adds to its content
//	join U, join U via V      leave U, knock U
//	invite U V, kick U V      ban U V, unban U V (a kick by another name)
//	power U V=100 W=50        power levels; creators are left out of "users"
//	                          where they must not be in it
//	rule U public             the join rule
//	topic U WORD              m.room.topic
//	issue U TOKEN SERVER      m.room.third_party_invite with the server's key
//	claim U V TOKEN SERVER    the invite that follows, signed by the server;
//	                          "mxid=W" has it signed for another user
//	say U                     a message
//	redact U LABEL            a redaction
//	state U TYPE KEY          any state event; "" is the empty key
//	send U TYPE               any other event
//
// A user is a word and lives on the server named after its first letter: bob
// is @bob:b.test. In JSON and in keys "@bob" is that user and "$LABEL" the ID
// of an event.
//
//	@ts=LABEL+1, @ts=5        the time of sending; without it each line is 10 later
//	                          than the one before, and the create event at 0
//	@auth=LABEL,LABEL         auth_events; "none" for no events
//	@auth=+LABEL,-LABEL       the usual ones with some more or less
//	@prev=LABEL,LABEL         prev_events; "none" for no events
//	@depth=N
//	@id-before=LABEL          content gets a number such that the event ID
//	                          sorts before that of another event
//	@hash-before=LABEL        the same for the SHA-1 sum of the event ID
//	@sign=SERVER,SERVER       further signatures
//	@room=ID                  room_id; the event is of another room
//
// The .want file has a line for each event: allowed, refused by a rule, or
// dropped as no event at all. An event is asked about twice, in the state that
// its auth events make and in the state before it; where these differ both
// answers are there. Refused events are sent but do not enter the state. A
// merge has a line for each place about which the branches disagree.
//
// Some things hold in all rooms and are in no file: see checkMerge.

var updateGolden = flag.Bool("update", false, "write the .want files of golden rooms")

const goldenDir = "testdata/rooms"

func TestGolden(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(goldenDir, "*.room"))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatalf("no rooms in %s", goldenDir)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".room"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			script, err := parseGolden(string(text))
			if err != nil {
				t.Fatalf("%s:%v", name, err)
			}
			compareGolden(t, strings.TrimSuffix(name, ".room")+".want", playGolden(t, name, script).String())
		})
	}
}

func TestGoldenResultsHaveRooms(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(goldenDir, "*.want"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := os.Stat(strings.TrimSuffix(name, ".want") + ".room"); err != nil {
			t.Errorf("%s belongs to no room: %v", name, err)
		}
	}
}

// TestGoldenCoversRules wants every rule to refuse an event in some room.
func TestGoldenCoversRules(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(goldenDir, "auth-*.want"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for rule := eventauth.CreateHasPrevEvents; rule <= eventauth.RedactionForbidden; rule++ {
		if !strings.Contains(all.String(), rule.String()) {
			t.Errorf("no room has an event refused because %s", rule)
		}
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	if *updateGolden {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v\nwith -update this is written:\n%s", err, got)
	}
	if got != string(want) {
		t.Errorf("not as in %s (-want +got):\n%s", name, diffLines(string(want), got))
	}
}

// diffLines returns the lines that differ, each marked, and what is common
// right before and after them.
func diffLines(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	// common[i][j] is the length of the longest common subsequence of a[i:]
	// and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var lines []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			lines = append(lines, "  "+a[i])
			i++
			j++
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			lines = append(lines, "- "+a[i])
			i++
		default:
			lines = append(lines, "+ "+b[j])
			j++
		}
	}
	var out strings.Builder
	for i, line := range lines {
		near := false
		for k := max(0, i-2); k < min(len(lines), i+3); k++ {
			near = near || lines[k][0] != ' '
		}
		if near {
			fmt.Fprintln(&out, line)
		}
	}
	return out.String()
}

func TestDiffLines(t *testing.T) {
	got := diffLines("a\nb\nc\nd\ne\nf", "a\nb\nc\nd\nx\nf")
	if want := "  c\n  d\n- e\n+ x\n  f\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
