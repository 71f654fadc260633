package media

import (
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// page is what a page of the web says of itself.
type page struct {
	base  *url.URL
	graph map[string]string // OpenGraph, the first of each
	// What stands in for what is not there.
	plain map[string]string
	embed string // where it says more
}

// How many properties there may be, and how many characters each may have.
const (
	mostProperties  = 50
	mostProperty    = 1000
	mostDescription = 300
)

func newPage(at *url.URL) *page {
	return &page{base: at, graph: make(map[string]string), plain: make(map[string]string)}
}

// add notes a property, unless it is there.
func (p *page) add(name, value string) { note(p.graph, name, value) }

func note(to map[string]string, name, value string) {
	if value = tidyText(value, mostProperty); value != "" && to[name] == "" && len(to) < mostProperties && len(name) <= 100 {
		to[name] = value
	}
}

// tidyText is a text in one line, and no longer than that.
func tidyText(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !unicode.IsSpace(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	text = strings.Join(strings.Fields(text), " ")
	runes := 0
	for i := range text {
		if runes++; runes > most {
			return strings.TrimSpace(text[:i]) + "…"
		}
	}
	return text
}

// read reads a page as far as it goes.
func (p *page) read(text io.Reader) {
	z := html.NewTokenizer(text)
	var inTitle bool
	var beside, paragraph int // how deep within what is not about the page; within a paragraph
	var prose strings.Builder
	for {
		kind := z.Next()
		switch kind {
		case html.ErrorToken:
			note(p.plain, "description", tidyText(prose.String(), mostDescription))
			return
		case html.TextToken:
			switch {
			case inTitle:
				note(p.plain, "title", string(z.Text()))
			case paragraph > 0 && beside == 0 && prose.Len() < 4*mostDescription:
				prose.Write(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			t := z.Token()
			step := 1
			if kind == html.EndTagToken {
				step = -1
			}
			switch t.DataAtom {
			case atom.Title:
				inTitle = step > 0
			case atom.P:
				paragraph = max(0, step)
				prose.WriteByte(' ')
			case atom.Script, atom.Style, atom.Noscript, atom.Nav, atom.Header, atom.Footer, atom.Aside, atom.Svg, atom.Template:
				if kind != html.SelfClosingTagToken {
					beside = max(0, beside+step)
				}
			}
			if step > 0 {
				p.readTag(t)
			}
		}
	}
}

func (p *page) readTag(t html.Token) {
	of := func(name string) string {
		for _, a := range t.Attr {
			if a.Key == name {
				return a.Val
			}
		}
		return ""
	}
	switch t.DataAtom {
	case atom.Base:
		if u, err := p.base.Parse(of("href")); err == nil {
			p.base = u
		}
	case atom.Meta:
		name := strings.ToLower(of("property"))
		if name == "" {
			name = strings.ToLower(of("name"))
		}
		switch {
		case strings.HasPrefix(name, "og:"):
			p.add(name, of("content"))
		case strings.HasPrefix(name, "twitter:"), name == "description":
			note(p.plain, name, of("content"))
		}
	case atom.Link:
		switch rel := strings.Fields(strings.ToLower(of("rel"))); {
		case slices.Contains(rel, "alternate") && of("type") == "application/json+oembed" && p.embed == "":
			p.embed = p.resolve(of("href"))
		case slices.Contains(rel, "image_src"):
			note(p.plain, "image_src", of("href"))
		}
	case atom.Img:
		if !tiny(of("width")) && !tiny(of("height")) && !strings.HasPrefix(of("src"), "data:") {
			note(p.plain, "img", of("src"))
		}
	}
}

// tiny reports whether a side of a picture is that of what only counts readers.
func tiny(side string) bool {
	n, err := strconv.Atoi(strings.TrimSuffix(side, "px"))
	return err == nil && n < 10
}

// resolve returns where a link of the page leads, empty if nowhere.
func (p *page) resolve(link string) string {
	u, err := p.base.Parse(strings.TrimSpace(link))
	if err != nil || link == "" || len(link) > mostURL || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return u.String()
}

func (p *page) first(names ...string) string {
	for _, name := range names {
		if value := p.plain[name]; value != "" {
			return value
		}
	}
	return ""
}

func (p *page) title() string {
	if t := p.graph["og:title"]; t != "" {
		return t
	}
	return p.first("twitter:title", "title")
}

// image is where the page's picture is.
func (p *page) image() string {
	for _, name := range [...]string{"og:image:secure_url", "og:image", "og:image:url"} {
		if u := p.resolve(p.graph[name]); u != "" {
			return u
		}
	}
	return p.resolve(p.first("twitter:image", "twitter:image:src", "image_src", "img"))
}

// properties are those that are told of the page, without its picture.
func (p *page) properties() map[string]string {
	out := make(map[string]string)
	for name, value := range p.graph {
		if name != "og:image" && !strings.HasPrefix(name, "og:image:") {
			out[name] = value
		}
	}
	if title := p.title(); title != "" {
		out["og:title"] = title
	}
	if out["og:description"] == "" {
		if text := p.first("twitter:description", "description"); text != "" {
			out["og:description"] = text
		}
	}
	return out
}

// textOf is what there is to read in a piece of HTML.
func textOf(piece string) string {
	z := html.NewTokenizer(strings.NewReader(piece))
	var b strings.Builder
	skip := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			return tidyText(b.String(), mostDescription)
		case html.TextToken:
			if !skip {
				b.Write(z.Text())
				b.WriteByte(' ')
			}
		case html.StartTagToken:
			name, _ := z.TagName()
			skip = string(name) == "script" || string(name) == "style"
		case html.EndTagToken:
			skip = false
		}
	}
}
