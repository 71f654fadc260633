package id

import (
	"fmt"
	"strings"
)

// A ContentURI is "mxc://server/media-id": the name of uploaded media. The
// server is the one it was uploaded to.
//
// https://spec.matrix.org/v1.19/client-server-api/#matrix-content-mxc-uris
type ContentURI string

const contentScheme = "mxc://"

var mediaChars = chars(lower, upper, digits, "_-")

// ParseContentURI accepts a valid server name and a media ID of one or more of
// a-z, A-Z, 0-9, '_' and '-'. There is no wider grammar to tolerate: the
// restriction is what keeps media IDs from being paths. The specification sets
// no limits of length; here server name and media ID have [MaxLength] each.
//
// https://spec.matrix.org/v1.19/client-server-api/#content-repo-security-considerations
func ParseContentURI(s string) (ContentURI, error) {
	return parse[ContentURI](KindContentURI, s, checkContentURI)
}

// NewContentURI builds a URI that [ParseContentURI] accepts.
func NewContentURI(server ServerName, mediaID string) (ContentURI, error) {
	return ParseContentURI(contentScheme + string(server) + "/" + mediaID)
}

func checkContentURI(s string) string {
	rest, ok := strings.CutPrefix(s, contentScheme)
	if !ok {
		return "does not start with \"" + contentScheme + "\""
	}
	server, mediaID, ok := strings.Cut(rest, "/")
	switch {
	case !ok:
		return "no '/' after the server name"
	case len(server) > MaxLength:
		return fmt.Sprintf("server name is %d bytes long, at most %d are allowed", len(server), MaxLength)
	case mediaID == "":
		return "media ID is empty"
	case len(mediaID) > MaxLength:
		return fmt.Sprintf("media ID is %d bytes long, at most %d are allowed", len(mediaID), MaxLength)
	}
	if reason := checkServerName(server, len(contentScheme)); reason != "" {
		return reason
	}
	return checkChars(mediaID, len(s)-len(mediaID), &mediaChars, "media ID")
}

// Server returns the server that the media was uploaded to.
func (u ContentURI) Server() ServerName {
	server, _ := u.parts()
	return ServerName(server)
}

// MediaID returns the server's name for the media. If the URI was parsed, it is
// safe as one segment of a path.
func (u ContentURI) MediaID() string {
	_, mediaID := u.parts()
	return mediaID
}

func (u ContentURI) parts() (server, mediaID string) {
	rest, ok := strings.CutPrefix(string(u), contentScheme)
	if !ok {
		return "", ""
	}
	server, mediaID, _ = strings.Cut(rest, "/")
	return server, mediaID
}
