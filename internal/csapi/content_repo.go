package csapi

import (
	"context"
	"net/http"
	"strconv"

	"parley/internal/endpoint"
	"parley/internal/media"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// contentRoutes are those of https://spec.matrix.org/v1.19/client-server-api/#content-repository:
// uploads, downloads for who has an access token, and the older ones for everybody,
// which have only what is public.
func (s *Server) contentRoutes() []endpoint.Route {
	const authed, old = "/_matrix/client/v1/media/", "/_matrix/media/v3/"
	upload := endpoint.Policy{Auth: endpoint.User, Class: classUpload, BodyLimit: s.Settings.MaxUpload}
	token := endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classMedia}
	anybody := endpoint.Policy{Auth: endpoint.None, Class: classMedia}
	user := endpoint.Policy{Auth: endpoint.User, Class: classRead}
	preview := endpoint.Policy{Auth: endpoint.User, Class: classPreview}
	return []endpoint.Route{
		endpoint.Stream("POST "+old+"upload", upload, s.upload),
		endpoint.Stream("PUT "+old+"upload/{serverName}/{mediaID}", upload, s.uploadTo),
		endpoint.On("POST /_matrix/media/v1/create", endpoint.Policy{Auth: endpoint.User, Class: classUpload}, s.createContent),

		endpoint.Stream("GET "+authed+"download/{serverName}/{mediaID}", token, s.download(false)),
		endpoint.Stream("GET "+authed+"download/{serverName}/{mediaID}/{fileName}", token, s.download(false)),
		endpoint.Stream("GET "+authed+"thumbnail/{serverName}/{mediaID}", token, s.thumbnail(false)),
		endpoint.On("GET "+authed+"preview_url", preview, s.previewURL),
		endpoint.On("GET "+authed+"config", user, s.contentConfig),

		endpoint.Stream("GET "+old+"download/{serverName}/{mediaID}", anybody, s.download(true)),
		endpoint.Stream("GET "+old+"download/{serverName}/{mediaID}/{fileName}", anybody, s.download(true)),
		endpoint.Stream("GET "+old+"thumbnail/{serverName}/{mediaID}", anybody, s.thumbnail(true)),
		endpoint.On("GET "+old+"preview_url", preview, s.previewURL),
		endpoint.On("GET "+old+"config", user, s.contentConfig),
	}
}

type contentConfigResponse struct {
	UploadSize int64 `json:"m.upload.size"`
}

// contentConfig serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediaconfig
func (s *Server) contentConfig(context.Context, endpoint.Caller, endpoint.Empty) (contentConfigResponse, error) {
	return contentConfigResponse{s.Settings.MaxUpload}, nil
}

type previewURLRequest struct {
	URL string `query:"url" required:"true"`
	// Time is the point in time for which a preview is wanted. There is only the
	// last.
	Time *int64 `query:"ts"`
}

// previewURL serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url
func (s *Server) previewURL(ctx context.Context, _ endpoint.Caller, req previewURLRequest) (canonjson.Value, error) {
	return s.Media.Preview(ctx, req.URL)
}

// uploadOf is what a request says of the content that it brings.
func uploadOf(r *http.Request) media.Upload {
	return media.Upload{Type: r.Header.Get("Content-Type"), Name: r.URL.Query().Get("filename"), Length: r.ContentLength}
}

// upload serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav3upload
func (s *Server) upload(w http.ResponseWriter, r *http.Request, c endpoint.Caller) error {
	if err := notSuspended(c); err != nil {
		return err
	}
	s.allowUpload(w, r)
	u, err := s.Media.Upload(r.Context(), c.UserID, uploadOf(r), uploadBody{r})
	if err != nil {
		return err
	}
	return writeJSON(w, `{"content_uri":`+strconv.Quote(string(u))+`}`)
}

// uploadTo serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixmediav3uploadservernamemediaid
func (s *Server) uploadTo(w http.ResponseWriter, r *http.Request, c endpoint.Caller) error {
	if err := notSuspended(c); err != nil {
		return err
	}
	u, err := contentURI(r)
	if err != nil {
		return err
	}
	s.allowUpload(w, r)
	if err := s.Media.Fill(r.Context(), c.UserID, u, uploadOf(r), uploadBody{r}); err != nil {
		return err
	}
	return writeJSON(w, `{}`)
}

// allowUpload lets the answer come after all of the body, however slow that is.
func (s *Server) allowUpload(w http.ResponseWriter, r *http.Request) {
	bytes := r.ContentLength
	if bytes < 0 || bytes > s.Settings.MaxUpload {
		bytes = s.Settings.MaxUpload
	}
	media.AllowUpload(w, bytes)
}

// uploadBody is the body of an upload. That it cannot be read is the client's
// matter, or that of the way from there.
type uploadBody struct{ r *http.Request }

func (b uploadBody) Read(p []byte) (int, error) {
	n, err := b.r.Body.Read(p)
	return n, endpoint.ReadError(b.r.Context(), err)
}

func writeJSON(w http.ResponseWriter, body string) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write([]byte(body)) // fails if the client has gone
	return nil
}

type createContentResponse struct {
	URI     id.ContentURI `json:"content_uri"`
	Expires int64         `json:"unused_expires_at"`
}

// createContent serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav1create
func (s *Server) createContent(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (createContentResponse, error) {
	if err := notSuspended(c); err != nil {
		return createContentResponse{}, err
	}
	u, expires, err := s.Media.Create(ctx, c.UserID)
	return createContentResponse{u, expires.UnixMilli()}, err
}

// download serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid
// with or without a name for the file, and the older endpoints for everybody.
func (s *Server) download(everybody bool) endpoint.Streamer {
	return func(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
		request, err := mediaRequest(r, everybody)
		if err != nil {
			return err
		}
		f, err := s.Media.Open(r.Context(), request)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Serve(w, r, r.PathValue("fileName"), everybody)
	}
}

// thumbnail serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediathumbnailservernamemediaid
// and the older endpoint for everybody.
func (s *Server) thumbnail(everybody bool) endpoint.Streamer {
	return func(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
		request, err := mediaRequest(r, everybody)
		if err != nil {
			return err
		}
		t, err := media.ThumbnailOf(r.URL.Query())
		if err != nil {
			return err
		}
		f, err := s.Media.Thumbnail(r.Context(), request, t)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Serve(w, r, "", everybody)
	}
}

// mediaRequest is what a request asks for. A URI that is none names nothing.
func mediaRequest(r *http.Request, everybody bool) (media.Request, error) {
	u, err := contentURI(r)
	if err != nil {
		return media.Request{}, err
	}
	query := r.URL.Query()
	wait, err := media.WaitOf(query)
	if err != nil {
		return media.Request{}, err
	}
	return media.Request{
		URI: u, Wait: wait, Public: everybody, Local: everybody && query.Get("allow_remote") == "false",
		// Who has an access token has to expect it. A link is for one method.
		Redirect: r.Method == http.MethodGet && (!everybody || query.Get("allow_redirect") == "true"),
	}, nil
}

func contentURI(r *http.Request) (id.ContentURI, error) {
	u, err := id.NewContentURI(id.ServerName(r.PathValue("serverName")), r.PathValue("mediaID"))
	if err != nil {
		return "", mxerr.New(mxerr.NotFound, "%v", err)
	}
	return u, nil
}
