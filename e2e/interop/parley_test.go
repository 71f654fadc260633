package interop

import (
	"os"
	"os/exec"
	"slices"
	"strings"
)

// newParley has the name of a host in its server name.
func newParley(dir string, a *authority) (*server, error) {
	s, tls, err := newServer("parley", "localhost", dir, a)
	if err != nil {
		return nil, err
	}
	binary := os.Getenv("PARLEY_INTEROP_BINARY")
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PARLEY_") })
	env = append(env,
		"PARLEY_REGISTRATION_MODE=open", "PARLEY_RATE_LIMITS_ENABLED=false",
		"PARLEY_FEDERATION_EXTRA_CA="+a.file, "PARLEY_FEDERATION_ALLOW_PRIVATE_NETWORKS=true",
	)
	s.command = func() *exec.Cmd {
		c := exec.Command(binary, "serve", "--debug", "--server-name", s.name, "--data-dir", s.file("data"),
			"--listen", strings.TrimPrefix(s.url, "http://"),
			"--tls-listen", tls, "--tls-cert", s.file("cert.pem"), "--tls-key", s.file("key.pem"))
		c.Env = env
		return c
	}
	return s, s.start()
}
