// Package config is what an operator can set, and how: [Config] has a field for
// each setting, and the table of keys beside it has its name, default, meaning
// and check. The help of the command line, the example file and
// docs/operating/configuration.md are made from that table, so adding a key is
// a field and a row next to it.
//
// Values come from four places, each overriding the ones before: the default,
// one YAML file, environment variables (PARLEY_ and the key, so tls.cert is
// PARLEY_TLS_CERT) and command-line flags (--tls-cert; not every key has one).
//
// Nothing is guessed. A key, variable or flag that is not known, one that is
// given twice in one place, a value of the wrong type or form: each is an error
// that names where it stands, and all of them are reported at once. That a
// wrong value is overridden elsewhere does not excuse it.
//
// A secret x may be given as x_file instead, the name of a file that holds it.
// Errors never repeat a secret, and formatting or logging a [Config] does not
// show one.
//
// [Parse] is a pure function of its arguments. [Load] is the part that touches
// the disk: it reads the file named by --config and the files of secrets. No
// other package reads the environment or the command line, and none but the
// one that wires the server needs this package: a part gets its settings as
// values.
package config
