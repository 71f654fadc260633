package csapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
)

// A page is what a browser shows where a client does not know how to do
// something itself. Whatever it loads and runs is in it: the policy of its
// content allows nothing else.
type page struct {
	*template.Template
	script string // empty if it has none
	policy string
}

//go:embed page.css
var pageStyle string

// newPage returns a page of which content, a template, is the body.
func newPage(content, script, alsoAllowed string) page {
	const frame = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
<h1>{{.Title}}</h1>
{{block "content" .Content}}{{end}}
</main>
{{if .Script}}<script>{{.Script}}</script>
{{end}}</body>
</html>
`
	t := template.Must(template.New("frame").Parse(frame))
	template.Must(t.New("content").Parse(content))
	return page{t, script, "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; style-src " + hashSource(pageStyle) +
		"; script-src " + hashSource(script) + alsoAllowed}
}

// hashSource allows one text in a content security policy.
func hashSource(text string) string {
	if text == "" {
		return "'none'"
	}
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// write answers with the page.
func (p page) write(w http.ResponseWriter, status int, title string, content any) error {
	var b bytes.Buffer
	err := p.ExecuteTemplate(&b, "frame", struct {
		Title   string
		Style   template.CSS
		Script  template.JS
		Content any
	}{title, template.CSS(pageStyle), template.JS(p.script), content})
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err = w.Write(b.Bytes())
	return err
}
