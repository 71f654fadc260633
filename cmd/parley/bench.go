package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"parley/internal/loadgen"
)

const benchUsage = `usage: parley bench SCENARIO [--url URL] [flags]

Puts load on a Matrix server and says what it bears. Flags: parley bench SCENARIO --help

  send        how fast messages are accepted
  fanout      how fast messages reach clients that wait for them
  initial     the first sync of a user in many rooms
  idle        what waiting clients cost
  media       files up and down, and thumbnails
  all         all of these, at two sizes
  self        what the generator costs, without a server

These run this program as the server:

  encryption  keys that are claimed, devices that change, messages to devices
  sliding     windows of sliding sync
  push        how fast messages reach push gateways, which it plays
  federation  the server among others, which it plays, too
`

// benchSetup is the flags that all scenarios have.
type benchSetup struct {
	url     string
	owned   bool
	json    string
	options loadgen.Options // but for the target
}

// scenario runs a scenario whose flags are parsed.
type scenario func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error)

// bench runs a scenario. The table goes to out; what is being done, and the help,
// to progress.
func bench(args []string, out, progress io.Writer) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-h") || args[0] == "--help" || args[0] == "help" {
		_, err := io.WriteString(out, benchUsage)
		return err
	}
	flags := flag.NewFlagSet("parley bench "+args[0], flag.ContinueOnError)
	flags.SetOutput(progress)
	setup := setupFlags(flags)
	run := scenarioFlags(args[0], flags)
	if run == nil {
		return fmt.Errorf("unknown scenario %q\n%s", args[0], benchUsage)
	}
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("what is %q? The server is named with --url", flags.Arg(0))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	setup.options.Progress = func(format string, args ...any) { fmt.Fprintf(progress, format+"\n", args...) }
	return setup.run(ctx, run, !bringsItsServer(args[0]), out)
}

// bringsItsServer reports whether a scenario measures nothing that runs already.
func bringsItsServer(name string) bool {
	return slices.Contains([]string{"self", "encryption", "sliding", "push", "federation"}, name)
}

// run runs a scenario and reports what was measured, also when it ends early. There is
// a target if it measures what runs already.
func (s *benchSetup) run(ctx context.Context, run scenario, aim bool, out io.Writer) error {
	if aim {
		var err error
		if s.options.Target, err = loadgen.Aim(ctx, s.url, s.owned); errors.Is(err, loadgen.ErrForeign) {
			return fmt.Errorf("%w; if the server is yours, say so with --i-own-this-server", err)
		} else if err != nil {
			return err
		}
	}
	g, err := loadgen.New(s.options)
	if err != nil {
		return err
	}
	report := loadgen.NewReport(s.options.Target)
	report.Rows, err = run(ctx, g)
	if ctx.Err() == nil {
		err = errors.Join(err, g.Close(ctx))
	}
	if len(report.Rows) == 0 {
		return err
	}
	return errors.Join(err, report.WriteTable(out), s.writeJSON(report))
}

func (s *benchSetup) writeJSON(report *loadgen.Report) error {
	if s.json == "" {
		return nil
	}
	f, err := os.Create(s.json)
	if err != nil {
		return err
	}
	return errors.Join(report.WriteJSON(f), f.Close())
}

func setupFlags(f *flag.FlagSet) *benchSetup {
	s := new(benchSetup)
	f.StringVar(&s.url, "url", "http://127.0.0.1:8008", "the server, without TLS")
	f.BoolVar(&s.owned, "i-own-this-server", false, "put load on it even if it is not on this machine")
	f.StringVar(&s.json, "json", "", "write the results to a `FILE` too, as JSON")
	o := &s.options
	f.StringVar(&o.SharedSecret, "shared-secret", "", "register accounts with the registration `SECRET` of the server")
	f.StringVar(&o.RegistrationToken, "registration-token", "", "register accounts with a `TOKEN`")
	f.BoolVar(&o.NoPassword, "no-password", false, "register accounts without a password, where the server permits it")
	f.StringVar(&o.AccountsFile, "accounts", "", "keep the accounts in a `FILE`, for the next run")
	f.IntVar(&o.Parallel, "parallel", 8, "requests at once while accounts and rooms are made")
	f.DurationVar(&o.SetupLimit, "setup-limit", 20*time.Minute, "how long that may take")
	f.Var((*numbers)(&o.Processes), "pid", "the `PID` of the server, or several with commas, to tell its memory and processor time")
	return s
}

// scenarioFlags declares the flags of a scenario; nil means that there is none
// of that name.
func scenarioFlags(name string, f *flag.FlagSet) scenario {
	switch name {
	case "send":
		return sendFlags(f)
	case "fanout":
		return fanoutFlags(f)
	case "initial":
		return initialFlags(f)
	case "idle":
		return idleFlags(f)
	case "media":
		return mediaFlags(f)
	case "all":
		return allFlags(f)
	case "self":
		return selfFlags(f)
	case "encryption":
		return encryptionFlags(f)
	case "sliding":
		return slidingFlags(f)
	case "push":
		return pushFlags(f)
	case "federation":
		return federationFlags(f)
	}
	return nil
}

func sendFlags(f *flag.FlagSet) scenario {
	var o loadgen.Send
	f.IntVar(&o.Senders, "senders", 16, "senders at once in the second phase; in the first there is one")
	f.IntVar(&o.Rooms, "rooms", 1, "rooms, which the messages are spread over")
	f.IntVar(&o.Members, "members", 0, "further members of the rooms, who do nothing")
	f.IntVar(&o.Syncers, "syncers", 0, "further members of the rooms, who sync all the time")
	f.Int64Var(&o.Count, "count", 0, "end a phase after so many messages; 0 for the duration only")
	bodyFlag(f, &o.Body)
	durationFlag(f, &o.Duration, "how long each phase takes")
	pollFlag(f, &o.Poll)
	return func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) { return g.Send(ctx, o) }
}

func fanoutFlags(f *flag.FlagSet) scenario {
	var o loadgen.Fanout
	f.IntVar(&o.Clients, "clients", 100, "clients that sync")
	f.IntVar(&o.Rooms, "rooms", 1, "rooms, which the messages go into in turn")
	f.IntVar(&o.RoomsPerClient, "rooms-per-client", 1, "rooms that each client is in")
	f.IntVar(&o.Senders, "senders", 1, "senders, which share the messages")
	f.Float64Var(&o.Rate, "rate", 200, "messages a second, altogether")
	bodyFlag(f, &o.Body)
	durationFlag(f, &o.Duration, "how long messages are sent")
	pollFlag(f, &o.Poll)
	graceFlag(f, &o.Grace)
	return func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) { return g.Fanout(ctx, o) }
}

func initialFlags(f *flag.FlagSet) scenario {
	var o loadgen.Initial
	f.IntVar(&o.Rooms, "rooms", 100, "rooms that the user is in")
	f.IntVar(&o.Members, "members", 3, "members of each room, with the user")
	f.IntVar(&o.Messages, "messages", 10, "messages in each room")
	f.IntVar(&o.Repeats, "repeats", 5, "syncs of each kind")
	return func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) { return g.Initial(ctx, o) }
}

func idleFlags(f *flag.FlagSet) scenario {
	var o loadgen.Idle
	f.IntVar(&o.Clients, "clients", 1000, "clients that wait")
	f.DurationVar(&o.Settle, "settle", 2*time.Second, "how long the server has to come to rest, before and after the clients come")
	durationFlag(f, &o.Duration, "how long they wait")
	pollFlag(f, &o.Poll)
	graceFlag(f, &o.Grace)
	return func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) { return g.Idle(ctx, o) }
}

func mediaFlags(f *flag.FlagSet) scenario {
	o := loadgen.Media{Sizes: []int{100_000_000, 1_000_000_000}}
	f.Var((*numbers)(&o.Sizes), "sizes", "the `SIZES` of the files in bytes, with commas")
	f.IntVar(&o.Repeats, "repeats", 3, "how often each is uploaded, and downloaded")
	f.IntVar(&o.Side, "side", 4000, "the longer side of the photos that thumbnails are made of, in pixels")
	f.IntVar(&o.Pictures, "photos", 8, "photos")
	f.IntVar(&o.Together, "together", 8, "thumbnails at once, in the second phase; in the first there is one")
	f.IntVar(&o.Cached, "cached", 2000, "how often thumbnails are asked for again")
	return func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) { return g.Media(ctx, o) }
}

func allFlags(f *flag.FlagSet) scenario {
	o := loadgen.All{Sizes: []int{100, 1000}}
	f.Var((*numbers)(&o.Sizes), "sizes", "the `SIZES`, with commas, of rooms, crowds and numbers of rooms")
	f.IntVar(&o.Senders, "senders", 16, "senders at once")
	bodyFlag(f, &o.Body)
	durationFlag(f, &o.Duration, "how long each measurement takes")
	pollFlag(f, &o.Poll)
	graceFlag(f, &o.Grace)
	return func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) { return g.All(ctx, o) }
}

func selfFlags(f *flag.FlagSet) scenario {
	var o loadgen.Self
	f.IntVar(&o.Clients, "clients", 16, "senders, and syncing clients, at once")
	f.DurationVar(&o.Duration, "duration", 2*time.Second, "how long each measurement takes")
	return func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) { return g.Self(ctx, o) }
}

// ofOwn is the scenario of a server that is this program.
func ofOwn(f *flag.FlagSet, own *loadgen.Own, run scenario) scenario {
	f.StringVar(&own.Database, "database", "", "the PostgreSQL database of the server, which has to be empty, as a `URL`; SQLite without it")
	return func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		own.Program = []string{self, "serve"}
		return run(ctx, g)
	}
}

func encryptionFlags(f *flag.FlagSet) scenario {
	o := loadgen.Encryption{Clients: []int{100, 1000}, Sharers: []int{5000, 50_000}, Waiting: []int{1000, 10_000}, Devices: []int{20, 250}}
	f.Var((*words)(&o.Parts), "parts", "which `PARTS`, with commas, of claim, change and message; all without it")
	f.Var((*numbers)(&o.Clients), "clients", "how many `CLIENTS` claim keys of each other")
	f.IntVar(&o.Keys, "keys", 50, "one-time keys that each of them uploads, and claims")
	f.Var((*numbers)(&o.Sharers), "sharers", "how many `USERS` share a room with one whose device changes, a hundred each room")
	f.IntVar(&o.Changes, "changes", 20, "how often it does")
	f.IntVar(&o.Listeners, "listeners", 200, "sharers who wait for that")
	f.Var((*numbers)(&o.Waiting), "waiting", "how many `MESSAGES` wait for a device")
	f.Var((*numbers)(&o.Devices), "devices", "to how many `DEVICES` one message goes")
	return ofOwn(f, &o.Own, func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) { return g.Encryption(ctx, o) })
}

func slidingFlags(f *flag.FlagSet) scenario {
	o := loadgen.Sliding{Rooms: []int{500, 5000}}
	f.Var((*numbers)(&o.Rooms), "rooms", "how many `ROOMS` the account is in")
	f.IntVar(&o.Starts, "starts", 10, "how often the server is started, and a first window asked for")
	f.IntVar(&o.Warm, "warm", 100, "how often one is asked for after that")
	f.IntVar(&o.Idle, "idle", 5000, "requests to which there is nothing to say")
	return ofOwn(f, &o.Own, func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) { return g.Sliding(ctx, o) })
}

func pushFlags(f *flag.FlagSet) scenario {
	o := loadgen.Push{Members: []int{100, 1000}}
	f.Var((*numbers)(&o.Members), "members", "how many `MEMBERS` the room has, each with a pusher")
	f.IntVar(&o.Messages, "messages", 20, "how many messages are sent")
	f.DurationVar(&o.Grace, "grace", 30*time.Second, "how long after a message its pushes may come")
	return ofOwn(f, &o.Own, func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) { return g.Push(ctx, o) })
}

func federationFlags(f *flag.FlagSet) scenario {
	o := loadgen.Federation{
		Joins: []int{10_000, 100_000}, Rooms: []int{10, 50}, Destinations: []int{100, 1000}, Forks: []int{50, 500}, Members: []int{10, 1000, 100_000},
	}
	f.Var((*words)(&o.Parts), "parts", "which `PARTS`, with commas, of join, inbound, outbound, heal and size; all without it")
	f.Var((*numbers)(&o.Joins), "joins", "how many `MEMBERS` the rooms have that are joined")
	f.Var((*numbers)(&o.Rooms), "rooms", "how many `ROOMS` events come in for at once")
	f.IntVar(&o.Events, "events", 20_000, "how many events come in")
	f.Var((*numbers)(&o.Destinations), "destinations", "how many `SERVERS` a message is for")
	f.Var((*numbers)(&o.Forks), "forks", "how many `EVENTS` each of two forks has")
	f.IntVar(&o.ForkMembers, "fork-members", 10_000, "how many members the room has that forks")
	f.DurationVar(&o.Settle, "settle", 1500*time.Millisecond, "how long the server has to note down that it has sent a message")
	f.Var((*numbers)(&o.Members), "members", "how many `MEMBERS` the rooms have in which what an event costs is compared")
	return ofOwn(f, &o.Own, func(ctx context.Context, g *loadgen.Generator) ([]loadgen.Row, error) { return g.Federation(ctx, o) })
}

func bodyFlag(f *flag.FlagSet, n *int) {
	f.IntVar(n, "body", 100, "length of the messages' texts, in bytes")
}

func durationFlag(f *flag.FlagSet, d *time.Duration, usage string) {
	f.DurationVar(d, "duration", 10*time.Second, usage)
}

func pollFlag(f *flag.FlagSet, d *time.Duration) {
	f.DurationVar(d, "poll", 30*time.Second, "the timeout of the syncs")
}

func graceFlag(f *flag.FlagSet, d *time.Duration) {
	f.DurationVar(d, "grace", 10*time.Second, "how long after the last message deliveries may come")
}

// numbers is a flag with a list of positive numbers.
type numbers []int

func (n *numbers) String() string {
	var text []string
	for _, i := range *n {
		text = append(text, strconv.Itoa(i))
	}
	return strings.Join(text, ",")
}

func (n *numbers) Set(text string) error {
	*n = nil
	for s := range strings.SplitSeq(text, ",") {
		i, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || i < 1 {
			return fmt.Errorf("%q is no positive number", s)
		}
		*n = append(*n, i)
	}
	return nil
}

// words is a flag with a list of words.
type words []string

func (w *words) String() string { return strings.Join(*w, ",") }

func (w *words) Set(text string) error {
	*w = strings.Split(text, ",")
	return nil
}
