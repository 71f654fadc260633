package config

import (
	"errors"
	"fmt"
	"strings"
)

// ErrHelp is what [Parse] and [Load] answer to --help or -h, whatever else is
// given. The caller prints [Help].
var ErrHelp = errors.New("help was asked for")

// A SecretFile is a file that holds a secret, still to be read and given to
// [Config.SetSecret].
type SecretFile struct {
	Path string
	// Where says what named the file, such as "parley.yaml:7:
	// registration.shared_secret_file" or "PARLEY_DATABASE_FILE".
	Where string

	key *key
}

// Parse makes a configuration of what it is given: the content of the
// configuration file under the name that errors shall have for it, both empty
// if there is none; the environment in the form of os.Environ; and the
// command-line arguments after the command's name. The flag --config is checked
// but not followed.
//
// Secrets that are in files of their own are empty in the Config, and the files
// are returned in the order of their keys. The error joins all that is wrong,
// one line each; the Config is then of no use except to find out what is wrong
// with those files.
func Parse(file string, content []byte, environ, args []string) (Config, []SecretFile, error) {
	given := scanArgs(args)
	if given.help {
		return Config{}, nil, ErrHelp
	}
	r := newReader()
	r.readFile(file, content)
	r.readEnvironment(environ)
	r.readArgs(given)
	r.check()
	return r.config, r.secretFiles(), errors.Join(r.problems...)
}

// Defaults is the configuration when nothing is configured.
func Defaults() Config {
	return newReader().config
}

// SetSecret gives the secret its value, which is the content of the file
// without line breaks at the end.
func (c *Config) SetSecret(f SecretFile, content []byte) error {
	if len(content) > maxFileSize {
		return fmt.Errorf("%s: the file %s has more than %d bytes", f.Where, show(f.Path), maxFileSize)
	}
	text := strings.TrimRight(string(content), "\r\n")
	if text == "" {
		return fmt.Errorf("%s: the file %s is empty", f.Where, show(f.Path))
	}
	if err := f.key.value.set(c, text); err != nil {
		return fmt.Errorf("%s: what is in the file %s %w", f.Where, show(f.Path), err)
	}
	return nil
}

// A reader collects values in rising precedence: what is set later counts.
type reader struct {
	config Config
	// where says, by the name of the key, from where the value that counts
	// comes. Keys that have their default, or were emptied, are missing.
	where map[string]string
	// files has the secrets whose value that counts is in a file, by the name
	// of the key.
	files map[string]SecretFile
	// partial says that the file could not be read as YAML, so what seems to
	// be missing may be in it.
	partial  bool
	problems []error
}

func newReader() *reader {
	r := &reader{where: map[string]string{}, files: map[string]SecretFile{}}
	for i := range keys {
		k := &keys[i]
		if err := k.value.set(&r.config, k.preset); err != nil {
			panic(fmt.Sprintf("config: the default of %s, %q, %v", k.name, k.preset, err))
		}
	}
	return r
}

func (r *reader) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf(format, args...))
}

// set gives a setting its value and reports what is wrong with it. A wrong
// value counts as given, so that nothing else complains of its absence.
func (r *reader) set(s setting, where, text string) {
	k := s.key
	r.where[k.name] = where
	delete(r.files, k.name)
	switch {
	case text == "" && k.preset == "":
		delete(r.where, k.name)
		k.value.set(&r.config, "")
	case text == "":
		r.problem("%s: is empty, want %s", where, k.value.form)
	case s.file:
		if _, err := parseText(text); err != nil {
			r.problem("%s: %s %w", where, show(text), err)
			return
		}
		k.value.set(&r.config, "")
		r.files[k.name] = SecretFile{Path: text, Where: where, key: k}
	default:
		if err := k.value.set(&r.config, text); err != nil {
			r.problem("%s: %s %w", where, k.show(text), err)
		}
	}
}

func (r *reader) secretFiles() []SecretFile {
	var files []SecretFile
	for _, k := range keys {
		if f, ok := r.files[k.name]; ok {
			files = append(files, f)
		}
	}
	return files
}

// check finds values that are right alone and wrong together.
func (r *reader) check() {
	if r.partial {
		return
	}
	r.checkTLS()
	r.checkBucket()
	r.checkMail()
}

func (r *reader) checkTLS() {
	listen, cert, key := r.where["tls.listen"], r.where["tls.cert"], r.where["tls.key"]
	switch {
	case cert != "" && key == "":
		r.problem("%s: the certificate is of no use without its key, tls.key", cert)
	case key != "" && cert == "":
		r.problem("%s: the key is of no use without its certificate, tls.cert", key)
	case listen != "" && cert == "":
		r.problem("%s: TLS needs a certificate and its key, tls.cert and tls.key", listen)
	case cert != "" && listen == "":
		r.problem("%s: the certificate is not used unless tls.listen is given", cert)
	}
}

// checkBucket wants all that a bucket needs.
func (r *reader) checkBucket() {
	bucket := r.where["bucket.name"]
	for _, name := range [...]string{"bucket.endpoint", "bucket.access_key", "bucket.secret_key"} {
		switch where := r.where[name]; {
		case bucket != "" && where == "":
			r.problem("%s: a bucket needs %s too", bucket, name)
		case bucket == "" && where != "":
			r.problem("%s: there is no bucket, bucket.name", where)
		}
	}
}

func (r *reader) checkMail() {
	server, user, password := r.where["mail.server"], r.where["mail.user"], r.where["mail.password"]
	if server != "" && r.where["mail.from"] == "" {
		r.problem("%s: mail has to come from somebody, mail.from", server)
	}
	if require := r.where["registration.require_email"]; require != "" && server == "" && r.config.Registration.RequireEmail {
		r.problem("%s: nobody can show a mail address unless mail is sent, mail.server", require)
	}
	switch {
	case user != "" && password == "":
		r.problem("%s: the user is of no use without mail.password", user)
	case password != "" && user == "":
		r.problem("%s: the password is of no use without mail.user", password)
	}
}

// show is the value as a message may have it.
func (k *key) show(text string) string {
	if k.secret {
		return "the value (not shown)"
	}
	return show(text)
}

// A setting is something that can be given: a key, or the _file of a secret.
type setting struct {
	name string // in the file
	key  *key
	file bool
}

func settings() []setting {
	var all []setting
	for i := range keys {
		k := &keys[i]
		all = append(all, setting{name: k.name, key: k})
		if k.secret {
			all = append(all, setting{name: k.name + "_file", key: k, file: true})
		}
	}
	return all
}

// once keeps track of what one source has given.
type once struct {
	r *reader
	// where has the place of each name that was given.
	where map[string]string
}

func (r *reader) once() once {
	return once{r, map[string]string{}}
}

// first reports whether the setting was not given before in this source, and
// complains otherwise: of two values nobody can tell which was meant.
func (o once) first(s setting, where string) bool {
	if before, again := o.where[s.name]; again {
		o.r.problem("%s: is given twice%s", where, unlessSame(", first at ", before, where))
		return false
	}
	o.where[s.name] = where
	other := s.key.name + "_file"
	if s.file {
		other = s.key.name
	}
	if before, both := o.where[other]; both {
		o.r.problem("%s: the same secret is given at %s, want one of them", where, before)
		return false
	}
	return true
}

// unlessSame is for places that have no line numbers.
func unlessSame(words, before, where string) string {
	if before == where {
		return ""
	}
	return words + before
}
