package ssapi

import (
	"net/http"
	"strconv"
	"time"

	"parley/internal/endpoint"
	"parley/internal/media"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) contentRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.Stream("GET /_matrix/federation/v1/media/download/{mediaID}", signed(), s.download),
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
	wait := time.Duration(-1)
	if text := r.URL.Query().Get("timeout_ms"); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms < 0 {
			return media.Request{}, mxerr.New(mxerr.InvalidParam, "timeout_ms is not a number of milliseconds")
		}
		wait = time.Duration(min(ms, time.Hour.Milliseconds())) * time.Millisecond
	}
	return media.Request{URI: u, Wait: wait, Local: true}, nil
}
