package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"

	"parley/e2e/launch"
)

// TestMain leaves the address of the server in PARLEY_E2E_URL.
func TestMain(m *testing.M) {
	os.Exit(play(m))
}

// binary is the server to be tested.
func binary() string {
	if name := os.Getenv("PARLEY_E2E_BINARY"); name != "" {
		return name
	}
	return "../../bin/parley"
}

func play(m *testing.M) int {
	if os.Getenv("PARLEY_E2E_URL") != "" {
		return m.Run()
	}
	server, err := launch.Start(context.Background(), binary())
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	os.Setenv("PARLEY_E2E_URL", server.URL)
	status := m.Run()
	if status != 0 {
		fmt.Fprintf(os.Stderr, "e2e: the server's log:\n%s\n", server.Log())
	}
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return status
}
