// Command parley is the Matrix server. Of what it will do, this build has the
// protocol kernel, and two commands to see it with:
//
//	parley demo      plays a netsplit of one room in memory
//	parley version   prints the version and the room versions it knows
package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"parley/matrix/roomver"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "parley:", err)
		os.Exit(1)
	}
}

const usage = `usage: parley demo | version

  demo      play a netsplit of one room in memory, and how it heals
  version   print the version and the room versions it knows
`

func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		_, err := io.WriteString(out, usage)
		return err
	}
	switch args[0] {
	case "demo":
		return demo(out)
	case "version":
		return version(out)
	}
	return fmt.Errorf("unknown command %q\n%s", args[0], usage)
}

func version(out io.Writer) error {
	var rooms []string
	for r := range roomver.Known() {
		rooms = append(rooms, string(r.Version))
	}
	_, err := fmt.Fprintf(out, "parley %s\nroom versions %s, default %s\n",
		build(), strings.Join(rooms, " "), roomver.Default)
	return err
}

// build names the source that the binary was made from, as far as the
// toolchain recorded it.
func build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}
