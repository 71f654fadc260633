package config

import "strings"

const (
	variablePrefix = "PARLEY_"
	// testPrefix is left to the tests, which choose databases and the like.
	testPrefix = "PARLEY_TEST_"
)

// variable is the environment variable for a name in the file.
func variable(name string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

// flagName is the flag for a name in the file.
func flagName(name string) string {
	return "--" + strings.NewReplacer(".", "-", "_", "-").Replace(name)
}

func (r *reader) readEnvironment(environ []string) {
	known := map[string]setting{}
	var names []string
	for _, s := range settings() {
		known[variable(s.name)] = s
		names = append(names, variable(s.name))
	}
	given := r.once()
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, variablePrefix) || strings.HasPrefix(name, testPrefix) {
			continue
		}
		s, ok := known[name]
		if !ok {
			r.problem("the variable %s is not known%s", show(name), suggestion(variablePrefix, name, names))
			continue
		}
		if given.first(s, name) {
			r.set(s, name, text)
		}
	}
}

// arguments are the command line, taken apart but not yet checked for values.
type arguments struct {
	help bool
	// config is the last value of --config, "" if there is none.
	config string
	flags  []flagValue
	// wrong is what the command line should not have, in words.
	wrong []string
}

type flagValue struct {
	setting setting
	name    string
	text    string
}

// scanArgs takes --name value and --name=value. A value after a space does not
// begin with "-": that it was forgotten is far more likely.
func scanArgs(args []string) arguments {
	known := map[string]setting{}
	names := []string{"--config", "--help"}
	for _, s := range settings() {
		if s.key.flag {
			known[flagName(s.name)] = s
			names = append(names, flagName(s.name))
		}
	}
	var a arguments
	configs := 0
	for i := 0; i < len(args); i++ {
		name, text, hasText := strings.Cut(args[i], "=")
		if name == "--help" || name == "-h" {
			a.help = true
			continue
		}
		if !strings.HasPrefix(name, "-") {
			a.wrong = append(a.wrong, "the argument "+show(args[i])+" is not expected: all settings are flags")
			continue
		}
		if !hasText && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
			i++
			text, hasText = args[i], true
		}
		s, ok := known[name]
		switch {
		case !ok && name != "--config":
			a.wrong = append(a.wrong, "the flag "+show(name)+" is not known"+suggestion("--", name, names))
		case !hasText:
			a.wrong = append(a.wrong, name+": has no value")
		case ok:
			a.flags = append(a.flags, flagValue{s, name, text})
		case text == "":
			a.wrong = append(a.wrong, name+": is empty, want FILE")
		default:
			a.config = text
			if configs++; configs > 1 {
				a.wrong = append(a.wrong, name+": is given twice")
			}
		}
	}
	return a
}

func (r *reader) readArgs(a arguments) {
	for _, what := range a.wrong {
		r.problem("%s", what)
	}
	given := r.once()
	for _, f := range a.flags {
		if given.first(f.setting, f.name) {
			r.set(f.setting, f.name, f.text)
		}
	}
}
