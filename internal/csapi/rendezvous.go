package csapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"parley/internal/endpoint"
	"parley/internal/rendezvous"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// Where devices meet of which one logs the other in: as MSC4108 had it in 2024, and
// as MSC4388 has it now. https://github.com/matrix-org/matrix-spec-proposals/pull/4388
func (s *Server) rendezvousRoutes() []endpoint.Route {
	if s.Rendezvous == nil {
		return nil
	}
	const before = " /_matrix/client/unstable/org.matrix.msc4108/rendezvous"
	create := endpoint.Policy{Auth: endpoint.Optional, Class: classMeet, BodyLimit: 8 * rendezvous.MaxData}
	use := endpoint.Policy{Auth: endpoint.None, Class: classRendezvous, BodyLimit: 8 * rendezvous.MaxData}
	plainCreate, plain := create, use
	plainCreate.BodyLimit, plain.BodyLimit = rendezvous.MaxData, rendezvous.MaxData
	routes := []endpoint.Route{
		endpoint.Stream("POST"+before, plainCreate, s.meetPlain),
		endpoint.Stream("GET"+before+"/{rendezvousID}", plain, s.readPlain),
		endpoint.Stream("PUT"+before+"/{rendezvousID}", plain, s.writePlain),
		endpoint.Stream("DELETE"+before+"/{rendezvousID}", plain, s.partPlain),
	}
	const stable, proposed = " /_matrix/client/v1/rendezvous", " /_matrix/client/unstable/io.element.msc4388/rendezvous"
	for _, at := range []string{stable, proposed} {
		routes = append(routes,
			endpoint.On("GET"+at, create, s.mayMeet),
			endpoint.On("POST"+at, create, s.meet),
			endpoint.On("GET"+at+"/{rendezvousID}", use, s.readMeeting),
			endpoint.On("DELETE"+at+"/{rendezvousID}", use, s.part),
		)
	}
	return append(routes,
		endpoint.On("PUT"+stable+"/{rendezvousID}", use, s.writeMeeting),
		endpoint.On("PUT"+proposed+"/{rendezvousID}", use, s.writeMeetingProposed),
	)
}

// admits says whether somebody may begin a session.
func (s *Server) admits(c endpoint.Caller) bool {
	return !s.Settings.RendezvousOfUsers || c.UserID != "" && !c.Guest
}

func (s *Server) begin(c endpoint.Caller, data string) (rendezvous.Session, error) {
	if !s.admits(c) {
		return rendezvous.Session{}, mxerr.New(mxerr.Forbidden, "Here somebody has to be logged in to begin")
	}
	return s.Rendezvous.Create(data)
}

type mayMeetResponse struct {
	CreateAvailable bool `json:"create_available"`
}

func (s *Server) mayMeet(_ context.Context, c endpoint.Caller, _ endpoint.Empty) (mayMeetResponse, error) {
	return mayMeetResponse{s.admits(c)}, nil
}

type meetRequest struct {
	Data string `json:"data" required:"true"`
}

// A meeting is a session as JSON, with what is asked for of it.
type meeting struct {
	ID        string  `json:"id,omitempty"`
	Data      *string `json:"data,omitempty"`
	Token     string  `json:"sequence_token"`
	ExpiresIn int64   `json:"expires_in_ms,omitempty"`
}

func noStore(m meeting) endpoint.Reply[meeting] {
	return endpoint.Reply[meeting]{Header: http.Header{"Cache-Control": {"no-store"}}, Body: m}
}

func remaining(n rendezvous.Session) int64 { return max(1, time.Until(n.Expires).Milliseconds()) }

func (s *Server) meet(_ context.Context, c endpoint.Caller, req meetRequest) (endpoint.Reply[meeting], error) {
	n, err := s.begin(c, req.Data)
	return noStore(meeting{ID: n.ID, Token: n.Token, ExpiresIn: remaining(n)}), err
}

type meetingRequest struct {
	ID string `path:"rendezvousID"`
	// What browsers say of who asks.
	Mode string `header:"Sec-Fetch-Mode"`
	Dest string `header:"Sec-Fetch-Dest"`
}

// notShown refuses a browser that would show what somebody has written as a page.
func notShown(mode, dest string) error {
	if mode == "navigate" || dest == "document" {
		return mxerr.New(mxerr.Forbidden, "This is not to be looked at")
	}
	return nil
}

func (s *Server) readMeeting(_ context.Context, _ endpoint.Caller, req meetingRequest) (endpoint.Reply[meeting], error) {
	if err := notShown(req.Mode, req.Dest); err != nil {
		return endpoint.Reply[meeting]{}, err
	}
	n, err := s.Rendezvous.Get(req.ID)
	return noStore(meeting{Data: &n.Data, Token: n.Token, ExpiresIn: remaining(n)}), err
}

type writeMeetingRequest struct {
	ID    string `path:"rendezvousID"`
	Token string `json:"sequence_token" required:"true"`
	Data  string `json:"data" required:"true"`
}

func (s *Server) writeMeeting(_ context.Context, _ endpoint.Caller, req writeMeetingRequest) (endpoint.Reply[meeting], error) {
	n, err := s.Rendezvous.Put(req.ID, req.Token, req.Data, true)
	return noStore(meeting{Token: n.Token}), err
}

// proposedConcurrentWrite is [rendezvous.ConcurrentWrite] until the proposal is accepted.
const proposedConcurrentWrite mxerr.Code = "IO_ELEMENT_MSC4388_CONCURRENT_WRITE"

func (s *Server) writeMeetingProposed(ctx context.Context, c endpoint.Caller, req writeMeetingRequest) (endpoint.Reply[meeting], error) {
	reply, err := s.writeMeeting(ctx, c, req)
	if errors.Is(err, rendezvous.ConcurrentWrite) {
		err = mxerr.New(proposedConcurrentWrite, "Something else was written meanwhile").WithStatus(409)
	}
	return reply, err
}

type partRequest struct {
	ID string `path:"rendezvousID"`
}

func (s *Server) part(_ context.Context, _ endpoint.Caller, req partRequest) (endpoint.Empty, error) {
	return endpoint.Empty{}, s.Rendezvous.Delete(req.ID)
}

// plainBody reads what is to be written.
func plainBody(r *http.Request) (string, error) {
	kind := r.Header.Get("Content-Type")
	if kind == "" || r.ContentLength < 0 {
		return "", mxerr.New(mxerr.MissingParam, "Content-Type and Content-Length have to be there")
	}
	if kind, _, err := mime.ParseMediaType(kind); err != nil || kind != "text/plain" {
		return "", mxerr.New(mxerr.InvalidParam, "The Content-Type has to be text/plain")
	}
	data, err := io.ReadAll(r.Body)
	return string(data), err
}

// describe sets the headers that say how a session is.
func describe(w http.ResponseWriter, n rendezvous.Session) {
	h := w.Header()
	h.Set("ETag", `"`+n.Token+`"`)
	h.Set("Expires", n.Expires.UTC().Format(http.TimeFormat))
	h.Set("Last-Modified", n.Written.UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
}

// tag reads the one strong entity tag of a header.
func tag(header string) (token string, ok bool) {
	token, ok = strings.CutPrefix(header, `"`)
	if ok {
		token, ok = strings.CutSuffix(token, `"`)
	}
	return token, ok && !strings.ContainsAny(token, `",`)
}

func (s *Server) meetPlain(w http.ResponseWriter, r *http.Request, c endpoint.Caller) error {
	data, err := plainBody(r)
	if err != nil {
		return err
	}
	n, err := s.begin(c, data)
	if err != nil {
		return err
	}
	base := s.Settings.BaseURL
	if base == "" {
		base = "https://" + r.Host
	}
	describe(w, n)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	url := strings.TrimSuffix(base, "/") + "/_matrix/client/unstable/org.matrix.msc4108/rendezvous/" + n.ID
	w.Write(canonjson.Value("{}").With("url", canonjson.Text(url))) // fails if the client has gone
	return nil
}

func (s *Server) readPlain(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	if err := notShown(r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")); err != nil {
		return err
	}
	n, err := s.Rendezvous.Get(r.PathValue("rendezvousID"))
	if err != nil {
		return err
	}
	describe(w, n)
	if r.Header.Get("If-None-Match") == `"`+n.Token+`"` {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	io.WriteString(w, n.Data) // fails if the client has gone
	return nil
}

func (s *Server) writePlain(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	data, err := plainBody(r)
	if err != nil {
		return err
	}
	header := r.Header.Values("If-Match")
	if len(header) == 0 {
		return mxerr.New(mxerr.MissingParam, "If-Match has to say what is replaced")
	}
	token, ok := tag(header[0])
	if !ok || len(header) > 1 {
		return mxerr.New(mxerr.InvalidParam, "If-Match is not one strong entity tag")
	}
	n, err := s.Rendezvous.Put(r.PathValue("rendezvousID"), token, data, false)
	switch {
	case errors.Is(err, rendezvous.ConcurrentWrite):
		describe(w, n)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusPreconditionFailed)
		io.WriteString(w, `{"errcode":"M_CONCURRENT_WRITE","error":"Something else was written meanwhile","org.matrix.msc4108.errcode":"M_CONCURRENT_WRITE"}`)
		return nil
	case err != nil:
		return err
	}
	describe(w, n)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (s *Server) partPlain(w http.ResponseWriter, r *http.Request, _ endpoint.Caller) error {
	if err := s.Rendezvous.Delete(r.PathValue("rendezvousID")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
