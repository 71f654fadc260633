package config

import (
	"fmt"
	"strings"
)

// Help describes the flags, variables and keys, to follow a line with the usage
// of the command. Lines are at most 80 columns wide and the last one is ended.
func Help() string {
	var b strings.Builder
	b.WriteString("  --config FILE\n")
	wrap(&b, "      ", "The configuration file, in YAML. Without this flag none is read.")
	b.WriteString("  --help, -h\n")
	wrap(&b, "      ", "Shows this text.")
	b.WriteString("\nSettings, as flag (where there is one), variable and key of the file. A flag\n" +
		"overrides the variable, and that overrides the file.\n\n")
	for _, k := range keys {
		b.WriteString("  ")
		if k.flag {
			b.WriteString(flagName(k.name) + " " + k.value.form + ", ")
		}
		b.WriteString(variable(k.name) + ", " + k.name + "\n")
		summary, _, _ := strings.Cut(strings.TrimSpace(k.doc), "\n\n")
		wrap(&b, "      ", summary+" "+k.defaultAndForm())
	}
	b.WriteString("\n")
	wrap(&b, "", "Where a value is secret, _file or -file after the name gives the name of a file that holds it: "+
		strings.Join(secretFileNames(), ", ")+".")
	return b.String()
}

// defaultAndForm ends the summary of a key: what its values look like, where
// the flag does not say so, and what it is if nothing is given.
func (k *key) defaultAndForm() string {
	var parts []string
	if !k.flag {
		parts = append(parts, k.value.form)
	}
	if k.preset != "" {
		parts = append(parts, "default "+k.preset)
	}
	if len(parts) == 0 {
		return ""
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

func secretFileNames() []string {
	var names []string
	for _, s := range settings() {
		if s.file {
			names = append(names, s.name)
		}
	}
	return names
}

// Example is a configuration file with every key and its documentation. All
// keys are commented out, so it configures nothing until it is edited.
func Example() string {
	var b strings.Builder
	b.WriteString("# Configuration of parley. What is commented out shows the default, or an example\n" +
		"# where there is none. Keep this file at mode 0600 if you write secrets into it.\n")
	section := ""
	for _, k := range keys {
		in, name, ok := strings.Cut(k.name, ".")
		indent := "  "
		if !ok {
			in, name, indent = "", k.name, ""
		}
		b.WriteString("\n")
		if in != "" && in != section {
			b.WriteString(in + ":\n")
		}
		section = in
		wrap(&b, indent+"# ", strings.TrimSpace(k.doc))
		shown := k.preset
		if shown == "" {
			shown = k.example
		}
		if k.value.plain == plainText {
			shown = quoteYAML(shown)
		}
		fmt.Fprintf(&b, "%s#%s: %s\n", indent, name, shown)
		if k.secret {
			fmt.Fprintf(&b, "%s#%s_file: /etc/parley/%s\n", indent, name, name)
		}
	}
	return b.String()
}

// quoteYAML is a plain scalar where a value of the table is certain to be read
// as text, and a single-quoted one elsewhere.
func quoteYAML(text string) string {
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, "./") || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// wrap writes paragraphs with a prefix before each line, which is no longer
// than 80 columns unless a word is.
func wrap(b *strings.Builder, prefix, text string) {
	const width = 80
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString(strings.TrimRight(prefix, " ") + "\n")
		}
		line := prefix
		for _, word := range strings.Fields(paragraph) {
			if line != prefix && len(line)+1+len(word) > width {
				b.WriteString(line + "\n")
				line = prefix
			}
			if line != prefix {
				line += " "
			}
			line += word
		}
		b.WriteString(line + "\n")
	}
}
