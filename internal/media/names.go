package media

import (
	"mime"
	"strings"
	"unicode"
	"unicode/utf8"
)

// octets is the type of what says nothing of its own.
const octets = "application/octet-stream"

// How many bytes content types and names of files may have.
const (
	mostType = 255
	mostName = 255
)

// contentType is the content type that is kept of one that somebody gives: the
// same if it is one. https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid
func contentType(given string) string {
	given = strings.TrimSpace(given)
	kind, _, err := mime.ParseMediaType(given)
	if err != nil || len(given) > mostType || strings.Count(kind, "/") != 1 || !printable(given) {
		return octets
	}
	return given
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// fileName is the name that is kept of one that somebody gives: the last part of a
// path, without what a terminal or a header would take for something else, and no
// longer than file systems like it.
func fileName(given string) string {
	given = strings.ToValidUTF8(given, "\ufffd")
	if i := strings.LastIndexAny(given, `/\`); i >= 0 {
		given = given[i+1:]
	}
	given = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return -1
		}
		return r
	}, given)
	if given = strings.TrimSpace(given); given == "." || given == ".." {
		return ""
	}
	return shorten(given, mostName)
}

// shorten cuts a text to so many bytes at the end of a character, but keeps what
// programs know files by.
func shorten(name string, most int) string {
	if len(name) <= most {
		return name
	}
	ending := ""
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i <= 16 {
		ending = name[i:]
	}
	cut := most - len(ending)
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + ending
}

// inline reports whether a browser may show a type by itself: it runs nothing of
// these. https://spec.matrix.org/v1.19/client-server-api/#serving-inline-content
func inline(contentType string) bool {
	kind, _, _ := mime.ParseMediaType(contentType)
	switch kind {
	case "text/css", "text/plain", "text/csv", "application/json", "application/ld+json",
		"image/jpeg", "image/gif", "image/png", "image/apng", "image/webp", "image/avif",
		"video/mp4", "video/webm", "video/ogg", "video/quicktime",
		"audio/mp4", "audio/webm", "audio/aac", "audio/mpeg", "audio/ogg", "audio/wave", "audio/wav",
		"audio/x-wav", "audio/x-pn-wav", "audio/flac", "audio/x-flac":
		return true
	}
	return false
}

// disposition says what a browser is to do with a content.
func disposition(contentType, name string) string {
	what := "attachment"
	if inline(contentType) {
		what = "inline"
	}
	if name == "" {
		return what
	}
	return mime.FormatMediaType(what, map[string]string{"filename": name})
}

// givenName is the name of a file in a disposition of another server.
func givenName(disposition string) string {
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil {
		return ""
	}
	return fileName(params["filename"])
}
