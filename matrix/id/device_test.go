package id

import (
	"strings"
	"testing"
)

func TestParseDeviceID(t *testing.T) {
	testParse(t, KindDeviceID, ParseDeviceID, []parseTest{
		{"usual", "JLAFKJWSCS", ""},
		{"chosen by a client", "my phone: é/+", ""},
		{"255 bytes", strings.Repeat("a", 255), ""},
		{"empty", "", "empty"},
		{"256 bytes", strings.Repeat("a", 256), "256 bytes long"},
		{"NUL", "a\x00", "NUL at byte 1"},
		{"invalid UTF-8", "a\xff", "invalid UTF-8 at byte 1"},
	})
}

func TestParseStrictDeviceID(t *testing.T) {
	testParse(t, KindDeviceID, ParseStrictDeviceID, []parseTest{
		{"all kinds of characters", "azAZ09-._~", ""},
		{"empty", "", "empty"},
		{"space", "a b", "character ' ' at byte 1"},
		{"256 bytes", strings.Repeat("a", 256), "256 bytes long"},
	})
}
