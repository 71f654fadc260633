package mail

import (
	"html"
	"net/url"
	"strings"
	"unicode"
)

// A Letter is what is sent to one recipient.
type Letter struct {
	To      Address
	Subject string
	Body    []Part
	// Thread, if it is not empty, names what the letter is about: those about the
	// same are shown as one conversation.
	Thread string
	// Unsubscribe, if it is not empty, is the address at which a POST, without
	// credentials or cookies, stops letters of this kind: the mail program of the
	// recipient makes a button of it (RFC 8058).
	Unsubscribe string
}

// A Part of a letter is one of [Heading], [Paragraph], [Link], [Said] and [Small].
type Part interface {
	text(*strings.Builder)
	html(*strings.Builder)
}

// A Heading is what comes below it.
type Heading string

// A Paragraph may have line breaks.
type Paragraph string

// Small is what few people will read, such as why they got the letter.
type Small string

// A Link leads to a page. If the address is not one of http or https, there is
// only the label.
type Link struct{ Label, Address string }

// Said is a line of a conversation.
type Said struct {
	Who, When, What string
	New             bool // the letter is about it; others are there to understand it
}

func (p Heading) text(b *strings.Builder)   { b.WriteString(oneLine(string(p)) + "\n\n") }
func (p Paragraph) text(b *strings.Builder) { b.WriteString(plain(string(p)) + "\n\n") }
func (p Small) text(b *strings.Builder)     { b.WriteString("-- \n" + plain(string(p)) + "\n\n") }

func (p Link) text(b *strings.Builder) {
	b.WriteString(oneLine(p.Label))
	if address := webAddress(p.Address); address != "" {
		b.WriteString(":\n" + address)
	}
	b.WriteString("\n\n")
}

func (p Said) text(b *strings.Builder) {
	mark := "  "
	if p.New {
		mark = "> "
	}
	b.WriteString(mark + oneLine(p.Who))
	if p.When != "" {
		b.WriteString(" (" + oneLine(p.When) + ")")
	}
	b.WriteString(": " + strings.ReplaceAll(plain(p.What), "\n", "\n"+mark+"  ") + "\n\n")
}

func (p Heading) html(b *strings.Builder) {
	element(b, "h2", `font-size:1.2em`, escaped(oneLine(string(p))))
}

func (p Paragraph) html(b *strings.Builder) { element(b, "p", "", lines(string(p))) }

func (p Small) html(b *strings.Builder) {
	element(b, "p", `color:#666;font-size:.85em`, lines(string(p)))
}

func (p Link) html(b *strings.Builder) {
	label := escaped(oneLine(p.Label))
	if address := webAddress(p.Address); address != "" {
		label = `<a href="` + escaped(address) + `">` + label + `</a>`
	}
	element(b, "p", "", label)
}

func (p Said) html(b *strings.Builder) {
	style := "margin-left:1em"
	if !p.New {
		style += ";color:#666"
	}
	who := "<strong>" + escaped(oneLine(p.Who)) + "</strong>"
	if p.When != "" {
		who += ` <span style="color:#666;font-size:.85em">` + escaped(oneLine(p.When)) + "</span>"
	}
	element(b, "p", style, who+"<br>"+lines(p.What))
}

// element writes an element with content that is HTML.
func element(b *strings.Builder, name, style, content string) {
	if style != "" {
		style = ` style="` + style + `"`
	}
	b.WriteString("<" + name + style + ">" + content + "</" + name + ">\n")
}

// render returns a letter as text and as HTML.
func render(body []Part) (text, page string) {
	var t, h strings.Builder
	h.WriteString("<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head>\n<body style=\"font-family:sans-serif;max-width:40em\">\n")
	for _, p := range body {
		p.text(&t)
		p.html(&h)
	}
	h.WriteString("</body></html>\n")
	return strings.TrimRight(t.String(), "\n") + "\n", h.String()
}

func lines(text string) string { return strings.ReplaceAll(escaped(plain(text)), "\n", "<br>\n") }

func escaped(text string) string { return html.EscapeString(text) }

// plain is text without what is neither to be seen nor a line break.
func plain(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\r\n", "\n")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, text))
}

// oneLine is text on one line, as headers are.
func oneLine(text string) string { return strings.Join(strings.Fields(plain(text)), " ") }

// webAddress returns an address if it is one of a page, in the form in which it
// can stand anywhere, and otherwise nothing.
func webAddress(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	address := u.String()
	if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>"`, r) }) {
		return ""
	}
	return address
}
