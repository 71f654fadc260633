package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
)

var update = flag.Bool("update", false, "write the files that are generated from the table of keys")

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	for _, file := range []struct{ path, content string }{
		{filepath.Join("..", "..", "docs", "operating", "configuration.md"), page(t)},
		{"example.yaml", Example()},
		{filepath.Join("testdata", "help.txt"), Help()},
	} {
		if *update {
			if err := os.MkdirAll(filepath.Dir(file.path), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file.path, []byte(file.content), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		committed, err := os.ReadFile(file.path)
		if err != nil {
			t.Error(err)
			continue
		}
		if string(committed) != file.content {
			t.Errorf("%s differs from what the table of keys gives; run: go test ./internal/config -run Generated -update", file.path)
		}
	}
}

// page is docs/operating/configuration.md.
func page(t *testing.T) string {
	type row struct {
		Name, Form, Default, Variable, Flag string
		FileKey, FileVariable, FileFlag     string
		Paragraphs                          []string
	}
	var rows []row
	for _, k := range keys {
		r := row{Name: k.name, Default: k.preset, Variable: variable(k.name)}
		r.Form = "`" + strings.ReplaceAll(k.value.form, "|", "`, `") + "`"
		for _, p := range strings.Split(strings.TrimSpace(k.doc), "\n\n") {
			r.Paragraphs = append(r.Paragraphs, autolink(p))
		}
		if k.flag {
			r.Flag = flagName(k.name)
		}
		if k.secret {
			r.FileKey, r.FileVariable = k.name+"_file", variable(k.name+"_file")
			if k.flag {
				r.FileFlag = flagName(k.name + "_file")
			}
		}
		rows = append(rows, r)
	}
	_, _, refused := Parse("parley.yaml",
		[]byte("server_name: Example.org\ntls:\n  lisen: ':8448'\npresence:\n  enabled: maybe\n"),
		[]string{"PARLEY_DATABSE=postgres://localhost/parley"}, []string{"--listen", "8008"})
	var b strings.Builder
	err := template.Must(template.ParseFiles(filepath.Join("testdata", "configuration.md.tmpl"))).Execute(&b, map[string]any{
		"Errors":         refused.Error() + "\n",
		"MaxFileSize":    maxFileSize,
		"SecretFiles":    secretFileNames(),
		"LastSecretFile": len(secretFileNames()) - 1,
		"Keys":           rows,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// autolink makes links of the addresses in a paragraph.
func autolink(paragraph string) string {
	lines := strings.Split(paragraph, "\n")
	for i, line := range lines {
		words := strings.Split(line, " ")
		for j, word := range words {
			if start := strings.Index(word, "https://"); start >= 0 {
				end := len(strings.TrimRight(word, ".,:)"))
				words[j] = word[:start] + "<" + word[start:end] + ">" + word[end:]
			}
		}
		lines[i] = strings.Join(words, " ")
	}
	return strings.Join(lines, "\n")
}

func TestExampleConfiguresNothing(t *testing.T) {
	got, files, err := Parse("example.yaml", []byte(Example()), nil, nil)
	if err != nil || len(files) != 0 || got != Defaults() {
		t.Errorf("got %+v, %v, %v, want the defaults", got, files, err)
	}
}

func TestExampleIsRightWhenUncommented(t *testing.T) {
	var b strings.Builder
	for line := range strings.Lines(Example()) {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		text, isKey := strings.CutPrefix(line[len(indent):], "#")
		if !isKey || strings.HasPrefix(text, " ") || strings.Contains(text, "_file: ") {
			b.WriteString(line)
			continue
		}
		b.WriteString(indent + text)
	}
	got, _, err := Parse("example.yaml", []byte(b.String()), nil, nil)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, b.String())
	}
	for _, k := range keys {
		if k.preset == "" && k.example == "" {
			t.Errorf("%s has neither a default nor an example", k.name)
		}
	}
	if got == Defaults() || got.TLS.Listen != ":8448" || got.Listen != Defaults().Listen {
		t.Errorf("got %+v", got)
	}
}

func TestHelpFitsTheTerminal(t *testing.T) {
	for line := range strings.Lines(Help()) {
		if len(line) > 81 && !strings.Contains(line, "https://") {
			t.Errorf("longer than 80 columns: %s", line)
		}
	}
	for _, s := range settings() {
		if !strings.Contains(Help(), s.name) {
			t.Errorf("%s is missing", s.name)
		}
	}
}
