package apitest

// mediaSteps are those of files. What is kept of a content URI is its media ID.
var mediaSteps = []step{
	{"alice", "POST /_matrix/media/v3/upload?filename=tour.txt", "hello", "file=content_uri"},
	{"alice", "POST /_matrix/media/v1/create", "", "later=content_uri"},
	{"alice", "PUT /_matrix/media/v3/upload/a.test/<later>?filename=later.txt", "hello, later", ""},
	{"alice", "POST /_matrix/media/v3/upload", dot, "picture=content_uri"},
	{"bob", "GET /_matrix/client/v1/media/config", "", ""},
	{"bob", "GET /_matrix/client/v1/media/preview_url?url=http://site.test/&ts=0", "", ""},
	{"bob", "GET /_matrix/media/v3/preview_url?url=http://site.test/", "", ""},
	{"bob", "GET /_matrix/client/v1/media/thumbnail/a.test/<picture>?width=32&height=32&method=crop&animated=false", "", ""},
	{"", "GET /_matrix/media/v3/thumbnail/a.test/<picture>?width=32&height=32", "", ""},
	{"bob", "GET /_matrix/client/v1/media/download/a.test/<file>", "", ""},
	{"bob", "GET /_matrix/client/v1/media/download/a.test/<later>/other.txt?timeout_ms=5000", "", ""},
	{"bob", "GET /_matrix/media/v3/config", "", ""},
	{"", "GET /_matrix/media/v3/download/a.test/<file>?allow_redirect=true&allow_remote=false", "", ""},
	{"", "GET /_matrix/media/v3/download/a.test/<later>/other.txt", "", ""},
}

// dot is a GIF of one pixel.
const dot = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
