//go:build !unix || aix || solaris

package server

import "os"

// lockFile does nothing where there is no flock: that no second process serves
// from the directory is then the operator's to see to.
func lockFile(*os.File) error { return nil }
