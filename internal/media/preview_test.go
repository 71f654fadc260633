package media

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"parley/internal/remote"
	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// web is pages of which each scene has some; it counts what is asked for.
type web struct {
	pages map[string]http.HandlerFunc
	asked atomic.Int64
}

func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.asked.Add(1)
	if page := w.pages[r.Host+r.URL.Path]; page != nil {
		page(rw, r)
		return
	}
	http.NotFound(rw, r)
}

// browsing is a change of the options for which every name is that of the web, but
// for those that are in private networks.
func browsing(t *testing.T, w *web) func(*Options) {
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	client := remote.New(remote.Options{
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			switch host {
			case "inside.test":
				return []netip.Addr{netip.MustParseAddr("192.168.0.1")}, nil
			case "unknown.test":
				return nil, errors.New("no such host")
			}
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		},
		Dial: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
		},
	})
	t.Cleanup(client.Close)
	return func(o *Options) { o.Previews, o.Web = true, client }
}

// shows answers with a content of a type.
func shows(kind, content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		fmt.Fprint(w, content)
	}
}

// preview is the preview of a page, or the code of the refusal.
func (s *scene) preview(url string) (canonjson.Value, string) {
	s.t.Helper()
	v, err := s.Preview(s.t.Context(), url)
	if err != nil {
		return nil, codeOf(err)
	}
	return v, ""
}

func TestAPageSaysWhatItIs(t *testing.T) {
	picture := string(encoded(t, scenery(64, 48), formatPNG))
	w := &web{pages: map[string]http.HandlerFunc{
		"a.test/": shows("text/html", `<html><head><title>Plain</title><meta property="og:title" content=" The
			&quot;title&quot; "><meta property="og:title" content="another"><meta property="og:description" content="What it is about">
			<meta property="og:image" content="/p.png"><meta property="og:image:width" content="9999"><meta property="og:type" content="article"></head><body>`),
		"a.test/p.png":     shows("image/png", picture),
		"a.test/lie.png":   shows("image/png", "<svg onload=alert(1)>"),
		"a.test/bare":      shows("text/html", `<title> Bare </title><script><p>no</p></script><nav><p>menu</p></nav><p>The first <b>paragraph</b>.</p><p>The second.</p><img src="data:x"><img src=/count.gif width=1 height=1><img src=p.png>`),
		"a.test/named":     shows("text/html; charset=iso-8859-1", "<title>Gr\xfc\xdfe</title>"),
		"a.test/meta":      shows("text/html", "<meta charset=shift_jis><title>\x83e\x83X\x83g</title>"),
		"a.test/wrong":     shows("text/html; charset=utf-8", "<title>a\xff\xfeb\x00c</title>"),
		"a.test/unpicture": shows("text/html", `<title>x</title><meta property="og:image" content="lie.png">`),
		"a.test/inward":    shows("text/html", `<title>x</title><meta property="og:image" content="http://inside.test/secret.png">`),
		"a.test/script":    shows("text/html", `<title>x</title><meta property="og:image" content="javascript:alert(1)"><meta property="og:url" content="javascript:alert(1)">`),
		"a.test/moved": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://b.test/deep/page", http.StatusFound)
		},
		"b.test/deep/page": shows("application/xhtml+xml", `<title>Moved</title><meta name="twitter:image" content="../p.png"/>`),
		"b.test/p.png":     shows("image/png", picture),
		"a.test/video":     shows("text/html", `<link rel="alternate" type="application/json+oembed" href="http://b.test/embed?x=1">`),
		"b.test/embed":     shows("application/json", `{"version":"1.0","title":"A video","provider_name":"Videos","thumbnail_url":"http://b.test/p.png","html":"<blockquote>Look &amp; see<script>no()</script></blockquote>"}`),
		"a.test/photo":     shows("text/html", `<link rel="alternate nofollow" type="application/json+oembed" href="http://b.test/photo">`),
		"b.test/photo":     shows("application/json", `{"version":"1.0","type":"photo","title":"A photo","url":"http://b.test/p.png","width":64,"height":48}`),
		"a.test/text":      shows("text/plain", "hello"),
	}}
	each(t, func(s *scene) {
		for path, want := range map[string]string{
			"/":          `{"og:description":"What it is about","og:image":M,"og:image:height":48,"og:image:type":"image/png","og:image:width":64,"og:title":"The \"title\"","og:type":"article"}`,
			"/bare":      `{"og:description":"The first paragraph. The second.","og:image":M,"og:image:height":48,"og:image:type":"image/png","og:image:width":64,"og:title":"Bare"}`,
			"/named":     `{"og:title":"Grüße"}`,
			"/meta":      `{"og:title":"テスト"}`,
			"/wrong":     `{"og:title":"a��b�c"}`,
			"/unpicture": `{"og:title":"x"}`,
			"/inward":    `{"og:title":"x"}`,
			"/script":    `{"og:title":"x","og:url":"javascript:alert(1)"}`,
			"/moved":     `{"og:image":M,"og:image:height":48,"og:image:type":"image/png","og:image:width":64,"og:title":"Moved"}`,
			"/video":     `{"og:description":"Look & see","og:image":M,"og:image:height":48,"og:image:type":"image/png","og:image:width":64,"og:site_name":"Videos","og:title":"A video"}`,
			"/photo":     `{"og:image":M,"og:image:height":48,"og:image:type":"image/png","og:image:width":64,"og:title":"A photo"}`,
			"/p.png":     `{"og:image":M,"og:image:height":48,"og:image:type":"image/png","og:image:width":64}`,
			"/text":      `{}`,
		} {
			got, code := s.preview("http://a.test" + path)
			if image, ok := got.Get("og:image").Text(); ok {
				if content := s.content(id.ContentURI(image)); content != picture {
					t.Errorf("%s: the picture is %q", path, content)
				}
				if n, _ := got.Get("matrix:image:size").Int(); n != int64(len(picture)) {
					t.Errorf("%s: the size of the picture is %d", path, n)
				}
				want = strings.Replace(want, "M", `"`+image+`"`, 1)
				got = got.Without("matrix:image:size")
			}
			if code != "" || string(got) != want {
				t.Errorf("%s: got %s %s, want %s", path, got, code, want)
			}
		}
	}, browsing(t, w))
}

func TestPagesAreAskedOnceForAnHour(t *testing.T) {
	w := &web{pages: map[string]http.HandlerFunc{"a.test/": shows("text/html", "<title>x</title>")}}
	each(t, func(s *scene) {
		w.asked.Store(0)
		for range 3 {
			s.preview("http://a.test/#part")
			s.preview("http://a.test/missing")
		}
		if n := w.asked.Load(); n != 2 {
			t.Errorf("it was asked %d times", n)
		}
	}, browsing(t, w))
}

func TestHostilePagesAreNotAskedOrCostLittle(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<title>Endless</title><p>")
		for range 100 << 20 / 1024 {
			if _, err := fmt.Fprint(w, strings.Repeat("<b>x", 256)); err != nil {
				return
			}
		}
	}
	w := &web{pages: map[string]http.HandlerFunc{
		"a.test/inward": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1/secret", http.StatusFound)
		},
		"a.test/circle":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/circle", http.StatusFound) },
		"a.test/endless": endless,
		"a.test/many":    shows("text/html", strings.Repeat(`<meta property="og:x`+strings.Repeat("y", 50)+`" content="z">`, 1000)),
		"a.test/deep":    shows("text/html", strings.Repeat("<div>", 50_000)+"<title>Deep</title>"),
		"a.test/open":    shows("text/html", "<title>"+strings.Repeat("x", 2<<20)),
		"a.test/bomb":    shows("image/png", string(hugePNG(60000, 60000))),
		"a.test/large":   shows("image/png", string(encoded(t, scenery(8, 8), formatPNG))+strings.Repeat("x", mostImage)),
		"a.test/small": func(w http.ResponseWriter, _ *http.Request) { // 100 MB of nothing, when it is unpacked
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprint(z, "<title>Unpacked</title>")
			for range 100 {
				z.Write(make([]byte, 1<<20))
			}
			z.Close()
		},
		"a.test/fault": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"a.test/cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "<title>Cut</title>")
		},
	}}
	each(t, func(s *scene) {
		for url, want := range map[string]string{
			"http://127.0.0.1/":                          "M_FORBIDDEN",
			"http://[::1]:8008/":                         "M_FORBIDDEN",
			"http://169.254.169.254/meta":                "M_FORBIDDEN",
			"http://inside.test/":                        "M_FORBIDDEN",
			"http://2130706433/":                         "M_NOT_FOUND", // a name like any other, which is resolved and checked
			"http://a.test/inward":                       "M_FORBIDDEN",
			"http://unknown.test/":                       "M_NOT_FOUND",
			"http://a.test/circle":                       "M_NOT_FOUND",
			"http://a.test/small":                        "{",
			"http://a.test/fault":                        "M_NOT_FOUND",
			"http://a.test/missing":                      "M_NOT_FOUND",
			"http://a.test/bomb":                         "og:image",
			"http://a.test/large":                        "M_NOT_FOUND",
			"http://a.test/endless":                      "Endless",
			"http://a.test/deep":                         "Deep",
			"http://a.test/open":                         "xxx",
			"http://a.test/cut":                          "Cut",
			"http://a.test/many":                         "og:x",
			"ftp://a.test/":                              "M_INVALID_PARAM",
			"file:///etc/passwd":                         "M_INVALID_PARAM",
			"http://user:secret@a.test/":                 "M_INVALID_PARAM",
			"http:///":                                   "M_INVALID_PARAM",
			"a.test":                                     "M_INVALID_PARAM",
			"http://a.test/\x00":                         "M_INVALID_PARAM",
			"http://a.test/" + strings.Repeat("x", 3000): "M_INVALID_PARAM",
		} {
			v, code := s.preview(url)
			if code != want && (code != "" || !strings.Contains(string(v), want)) {
				t.Errorf("%.60s: got %.100s %s, want %s", url, v, code, want)
			}
			if strings.Contains(string(v), "Unpacked") {
				t.Errorf("%.60s: it is unpacked, %s", url, v)
			}
			if len(v) > 100_000 {
				t.Errorf("%.60s: the preview has %d bytes", url, len(v))
			}
		}
	}, browsing(t, w))
}

func FuzzPage(f *testing.F) {
	f.Add(`<title>x</title><meta property="og:title" content="y"><base href="http://b/"><p>text<img src=z>`)
	f.Add("<p><script><p></script></p><link rel=alternate type=application/json+oembed href=//c>")
	f.Fuzz(func(t *testing.T, text string) {
		base, err := url.Parse("http://a.test/x/y")
		if err != nil {
			t.Fatal(err)
		}
		p := newPage(base)
		p.read(strings.NewReader(text))
		for _, link := range []string{p.image(), p.embed} {
			if link != "" && !strings.HasPrefix(link, "http://") && !strings.HasPrefix(link, "https://") {
				t.Errorf("a link leads to %q", link)
			}
		}
		for name, value := range p.properties() {
			if strings.ContainsAny(value, "\x00\n\r\t") || len([]rune(value)) > mostProperty+1 || !strings.HasPrefix(name, "og:") {
				t.Errorf("%q is %q", name, value)
			}
		}
	})
}
