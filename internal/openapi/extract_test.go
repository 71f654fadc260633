package openapi

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write extract.json anew")

// TestTheExtractIsThatOfTheSpecification makes the extract anew, where the data
// is: in the directory that PARLEY_TEST_SPEC_DATA names, as `make test` sets it where it
// finds one. Where there is none, the extract is what there is.
func TestTheExtractIsThatOfTheSpecification(t *testing.T) {
	dir := os.Getenv("PARLEY_TEST_SPEC_DATA")
	if dir == "" {
		t.Log("PARLEY_TEST_SPEC_DATA is not set: responses are checked against the extract as it was committed")
		return
	}
	got, err := Extract(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	const name = "extract.json"
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the data in %s gives: go test ./internal/openapi -run Extract -update", name, dir)
	}
}
