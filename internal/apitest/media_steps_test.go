package apitest

// mediaSteps are those of files. What is kept of a content URI is its media ID.
var mediaSteps = []step{
	{"alice", "POST /_matrix/media/v3/upload?filename=tour.txt", "hello", "file=content_uri"},
	{"alice", "POST /_matrix/media/v1/create", "", "later=content_uri"},
	{"alice", "PUT /_matrix/media/v3/upload/a.test/<later>?filename=later.txt", "hello, later", ""},
	{"bob", "GET /_matrix/client/v1/media/config", "", ""},
	{"bob", "GET /_matrix/client/v1/media/download/a.test/<file>", "", ""},
	{"bob", "GET /_matrix/client/v1/media/download/a.test/<later>/other.txt?timeout_ms=5000", "", ""},
	{"bob", "GET /_matrix/media/v3/config", "", ""},
	{"", "GET /_matrix/media/v3/download/a.test/<file>?allow_redirect=true&allow_remote=false", "", ""},
	{"", "GET /_matrix/media/v3/download/a.test/<later>/other.txt", "", ""},
}
