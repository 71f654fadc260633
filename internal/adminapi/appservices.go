package adminapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// appServiceRoutes are parley's own: Synapse reads registrations at its start only.
func (s *Server) appServiceRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_parley/admin/v1/appservices", policy(), s.appServices),
		endpoint.On("POST /_parley/admin/v1/appservices/reload", policy(), s.reloadAppServices),
	}
}

type appServicesResponse struct {
	Services []appService `json:"appservices"`
}

// An appService is an application service as it is registered, less its secrets, and how
// it does.
type appService struct {
	ID     string    `json:"id"`
	URL    *string   `json:"url"`
	Sender id.UserID `json:"sender"`
	// Of one that is told what happens:
	Up           *bool  `json:"up,omitempty"`
	Behind       *int64 `json:"behind,omitempty"` // entries of the journal
	Transactions int64  `json:"transactions,omitempty"`
	Events       int64  `json:"events,omitempty"`
	Failures     int64  `json:"failures,omitempty"`
}

func (s *Server) appServices(context.Context, endpoint.Caller, endpoint.Empty) (appServicesResponse, error) {
	resp := appServicesResponse{Services: []appService{}}
	for _, st := range s.Services.Statuses() {
		a := appService{ID: st.ID, URL: orNull(st.URL), Sender: st.Sender, Transactions: st.Transactions, Events: st.Events, Failures: st.Failures}
		if st.Told {
			up := !st.Down
			a.Up, a.Behind = &up, &st.Behind
		}
		resp.Services = append(resp.Services, a)
	}
	return resp, nil
}

// reloadAppServices reads the registration files anew. What is wrong with them only
// the administrator of the server gets to see, whose files they are.
func (s *Server) reloadAppServices(ctx context.Context, c endpoint.Caller, req endpoint.Empty) (appServicesResponse, error) {
	if err := s.Services.Reload(ctx); err != nil {
		return appServicesResponse{}, mxerr.New(mxerr.InvalidParam, "The application services stay as they were: %v", err)
	}
	return s.appServices(ctx, c, req)
}
