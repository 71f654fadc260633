package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestASecretIsForItsOwnerAndLeavesNothingBeside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for _, content := range []string{"first", "second"} {
		if err := WriteSecret(path, content); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, failed := os.Stat(path)
		if err != nil || failed != nil || string(got) != content || info.Mode().Perm() != 0o600 {
			t.Errorf("got %q, %v, %v, %v", got, info.Mode(), err, failed)
		}
	}
	if beside, err := os.ReadDir(filepath.Dir(path)); err != nil || len(beside) != 1 {
		t.Errorf("there are %v, %v", beside, err)
	}
	if err := WriteSecret(filepath.Join(path, "beneath a file"), "x"); err == nil {
		t.Error("there is a file beneath a file")
	}
}
