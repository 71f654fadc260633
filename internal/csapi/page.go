package csapi

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"io"
	"net/http"

	"parley/matrix/mxerr"
)

// A page is what a browser shows where a client does not know how to do
// something itself. Whatever it loads and runs is in it: the policy of its
// content allows nothing else.
type page struct {
	script markup // in its element; empty if it has none
	policy string
}

//go:embed page.css
var pageStyle markup

// newPage returns a page that runs a script, unless that is empty.
func newPage(script markup, alsoAllowed string) page {
	p := page{policy: "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; style-src " + hashSource(string(pageStyle)) +
		"; script-src " + hashSource(string(script)) + alsoAllowed}
	if script != "" {
		p.script = markup("<script>{}</script>\n").fill(script)
	}
	return p
}

// hashSource allows one text in a content security policy.
func hashSource(text string) string {
	if text == "" {
		return "'none'"
	}
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// pageFrame has places for the title, the style, the title, the content and the
// script.
const pageFrame markup = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{}</title>
<style>{}</style>
</head>
<body>
<main>
<h1>{}</h1>
{}
</main>
{}</body>
</html>
`

// write answers with the page.
func (p page) write(w http.ResponseWriter, status int, title string, content markup) error {
	heading := escaped(title)
	shown := pageFrame.fill(heading, pageStyle, heading, content, p.script)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err := io.WriteString(w, string(shown))
	return err
}

// refuse answers with a page that says why nothing was done. An error that is no refusal
// is returned.
func (p page) refuse(w http.ResponseWriter, err error, why markup) error {
	e := (*mxerr.Error)(nil)
	if !errors.As(err, &e) {
		return err
	}
	return p.write(w, e.Code.Status(), "This did not work", stageRefusal.fill(why))
}
