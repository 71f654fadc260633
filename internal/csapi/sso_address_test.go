package csapi

import "testing"

func TestWithLoginToken(t *testing.T) {
	for address, want := range map[string]string{
		"https://app.test":                           "https://app.test?loginToken=t",
		"https://app.test/?":                         "https://app.test/?loginToken=t",
		"https://app.test/?a=1&b":                    "https://app.test/?a=1&b&loginToken=t",
		"https://app.test/?loginToken=x&a=%2f&a=%zz": "https://app.test/?a=%2f&a=%zz&loginToken=t",
		"https://app.test/?login%54oken=x#/r?a=1":    "https://app.test/?loginToken=t#/r?a=1",
		"https://app.test/#":                         "https://app.test/?loginToken=t#",
		"org.app:/login?x=1":                         "org.app:/login?x=1&loginToken=t",
	} {
		if got := withLoginToken(address, "t"); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}

func TestClientsAreWhereNoProgramIsInTheAddress(t *testing.T) {
	for address, want := range map[string]bool{
		"https://app.test/x?y#z": true, "http://localhost:8080/": true, "element://vector/": true, "io.element.app:/callback": true, "app:opaque": true,
		"": false, "/x": false, "x": false, "//evil.test/": false, "https://": false, "https:///x": false, "https://u@evil.test/": false, "app:": false,
		"javascript:alert(1)": false, "JAVASCRIPT:alert(1)": false, "data:text/html,x": false, "vbscript:x": false, "file:///x": false, "blob:https://a": false,
		"java\nscript:alert(1)": false, "https://evil.test/\r\nX: y": false,
	} {
		if _, ok := clientOf(address); ok != want {
			t.Errorf("%q: got %t", address, ok)
		}
	}
}
