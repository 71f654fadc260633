package media

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"time"

	"parley/matrix/mxerr"
)

// What a browser may do with a content that it shows: nothing that comes from it.
// https://spec.matrix.org/v1.19/client-server-api/#content-repository
const policy = "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';"

// How fast a client has to read.
const (
	readGrace = 30 * time.Second
	readRate  = 32 << 10 // bytes a second
)

// Serve answers a client with a file, or with the part of it that is asked for. A
// name, if it is not empty, replaces that of the file. Shared says that caches
// between here and the client may keep it.
func (f *File) Serve(w http.ResponseWriter, r *http.Request, name string, shared bool) error {
	h := w.Header()
	if name = fileName(name); name == "" {
		name = f.Name
	}
	if f.link != nil {
		return f.redirect(w, r, name)
	}
	h.Set("Content-Type", f.Type)
	h.Set("Content-Disposition", disposition(f.Type, name))
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex, nofollow, noarchive, noimageindex")
	h.Set("Etag", `"`+f.tag+`"`)
	keep := "private"
	if shared {
		keep = "public"
	}
	// A URI never names another content. A day is how long a quarantine may take.
	h.Set("Cache-Control", keep+", max-age=86400, immutable")
	allowTime(w, f.Size)
	part := &partWriter{ResponseWriter: w}
	http.ServeContent(part, r, "", time.Time{}, f.ReadSeekCloser)
	if part.refused {
		h.Del("Content-Length")
		return mxerr.New(mxerr.InvalidParam, "There is no such part of the content").WithStatus(http.StatusRequestedRangeNotSatisfiable)
	}
	return nil
}

// redirect sends a client to where the content is. What a browser may do with it
// there is a matter of that service: it has another name than this server.
func (f *File) redirect(w http.ResponseWriter, r *http.Request, name string) error {
	to, err := f.link(r.Context(), f.Type, disposition(f.Type, name))
	if err != nil {
		return fmt.Errorf("sending a client on: %w", err)
	}
	h := w.Header()
	h.Set("Location", to)
	h.Set("Content-Length", "0")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Cache-Control", "no-store") // what it says is good for minutes
	w.WriteHeader(http.StatusTemporaryRedirect)
	return nil
}

// AllowUpload gives a client time to send so many bytes before it is answered, which
// may be longer than answers take otherwise.
func AllowUpload(w http.ResponseWriter, bytes int64) { allowTime(w, 2*bytes) }

// allowTime gives a client time to read so many bytes. It fails where there are no
// deadlines, as in tests.
func allowTime(w http.ResponseWriter, bytes int64) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(readGrace + time.Duration(bytes/readRate)*time.Second))
}

// partWriter takes back the refusal of net/http, which is no Matrix error.
type partWriter struct {
	http.ResponseWriter
	refused bool
}

func (p *partWriter) WriteHeader(status int) {
	if p.refused = status == http.StatusRequestedRangeNotSatisfiable; !p.refused {
		p.ResponseWriter.WriteHeader(status)
	}
}

func (p *partWriter) Write(b []byte) (int, error) {
	if p.refused {
		return len(b), nil
	}
	return p.ResponseWriter.Write(b)
}

// ReadFrom lets the system send the file by itself.
func (p *partWriter) ReadFrom(r io.Reader) (int64, error) {
	if p.refused {
		return io.Copy(io.Discard, r)
	}
	return io.Copy(p.ResponseWriter, r)
}

func (p *partWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// ServeServer answers another server with a file.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediadownloadmediaid
func (f *File) ServeServer(w http.ResponseWriter, r *http.Request) error {
	var frame bytes.Buffer
	parts := multipart.NewWriter(&frame)
	about, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/json"}})
	if err == nil {
		_, err = about.Write([]byte("{}"))
	}
	content := textproto.MIMEHeader{"Content-Type": {f.Type}, "Content-Disposition": {disposition(f.Type, f.Name)}}
	if err == nil && f.link != nil {
		var to string
		if to, err = f.link(r.Context(), f.Type, disposition(f.Type, f.Name)); err == nil {
			content = textproto.MIMEHeader{"Location": {to}}
		}
	}
	if err == nil {
		_, err = parts.CreatePart(content)
	}
	head := frame.Len()
	if err == nil {
		err = parts.Close()
	}
	if err != nil {
		return fmt.Errorf("framing media: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "multipart/mixed; boundary="+parts.Boundary())
	h.Set("Content-Length", strconv.FormatInt(int64(frame.Len())+f.Size, 10))
	allowTime(w, f.Size)
	if r.Method == http.MethodHead {
		return nil
	}
	for _, piece := range []io.Reader{bytes.NewReader(frame.Bytes()[:head]), io.LimitReader(f.ReadSeekCloser, f.Size), bytes.NewReader(frame.Bytes()[head:])} {
		if _, err := io.Copy(w, piece); err != nil {
			return nil // the server has gone
		}
	}
	return nil
}
