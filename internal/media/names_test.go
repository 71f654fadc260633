package media

import (
	"mime"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNamesAreThoseOfFiles(t *testing.T) {
	for given, want := range map[string]string{
		"holiday.jpg":                     "holiday.jpg",
		"":                                "",
		"../../etc/passwd":                "passwd",
		`C:\Windows\system32.dll`:         "system32.dll",
		"..":                              "",
		"a/..":                            "",
		"dir/":                            "",
		"line\r\nSet-Cookie: x=1":         "lineSet-Cookie: x=1",
		"nul\x00.txt":                     "nul.txt",
		"gpj.\u202eexe":                   "gpj.exe",
		"\xff\xfe.bin":                    "\ufffd.bin",
		" spaces .txt ":                   "spaces .txt",
		`quotes".txt`:                     `quotes".txt`,
		"日本語.png":                         "日本語.png",
		strings.Repeat("é", 300) + ".png": strings.Repeat("é", 125) + ".png",
	} {
		got := fileName(given)
		if got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
		if got != fileName(got) || !utf8.ValidString(got) || len(got) > mostName {
			t.Errorf("%q: %q is no name itself", given, got)
		}
		header := disposition("image/png", got)
		kind, params, err := mime.ParseMediaType(header)
		if err != nil || kind != "inline" || params["filename"] != got || strings.ContainsAny(header, "\r\n\x00") {
			t.Errorf("%q becomes %q: %v", got, header, err)
		}
		if again := givenName(header); again != got {
			t.Errorf("%q is read as %q", header, again)
		}
	}
}

func TestTypesAreThoseOfTheUpload(t *testing.T) {
	for given, want := range map[string]string{
		"image/png":                        "image/png",
		"text/plain; charset=utf-8":        "text/plain; charset=utf-8",
		" Text/HTML ":                      "Text/HTML",
		"":                                 octets,
		"nonsense":                         octets,
		"text/plain\r\nX: y":               octets,
		"a/b/c":                            octets,
		"text/" + strings.Repeat("x", 300): octets,
		"text/plain; x=\"\x01\"":           octets,
	} {
		if got := contentType(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}

func TestOnlyWhatRunsNothingIsShownInline(t *testing.T) {
	for kind, want := range map[string]string{
		"image/png": "inline", "IMAGE/PNG": "inline", "text/plain; charset=utf-8": "inline", "video/mp4": "inline",
		"text/html": "attachment", "image/svg+xml": "attachment", "application/xhtml+xml": "attachment", "application/javascript": "attachment",
		"text/html; x=image/png": "attachment", "application/pdf": "attachment", octets: "attachment", "text/xml": "attachment", "nonsense": "attachment",
	} {
		if got := disposition(kind, ""); got != want {
			t.Errorf("%s: got %s, want %s", kind, got, want)
		}
	}
}
