package ssapi

import (
	"net/http"

	"parley/internal/endpoint"
	"parley/internal/media"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) contentRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.Stream("GET /_matrix/federation/v1/media/download/{mediaID}", signed(), s.download),
		endpoint.Stream("GET /_matrix/federation/v1/media/thumbnail/{mediaID}", signed(), s.thumbnail),
	}
}

// download serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediadownloadmediaid
func (s *Server) download(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	request, err := s.mediaRequest(r)
	if err != nil {
		return err
	}
	f, err := s.Media.Open(r.Context(), request)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.ServeServer(w, r)
}

// mediaRequest is what a server asks for, which is of this server only.
func (s *Server) mediaRequest(r *http.Request) (media.Request, error) {
	u, err := id.NewContentURI(s.Name, r.PathValue("mediaID"))
	if err != nil {
		return media.Request{}, mxerr.New(mxerr.NotFound, "%v", err)
	}
	wait, err := media.WaitOf(r.URL.Query())
	return media.Request{URI: u, Wait: wait, Local: true, Redirect: r.Method == http.MethodGet}, err
}

// thumbnail serves https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediathumbnailmediaid
func (s *Server) thumbnail(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	request, err := s.mediaRequest(r)
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
	return f.ServeServer(w, r)
}
