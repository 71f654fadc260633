package csapi

import (
	"context"

	"parley/internal/appservice"
	"parley/internal/endpoint"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// The modules appservice_ping and appservice_room_directory of the specification.
func (s *Server) appServiceRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v1/appservice/{appserviceID}/ping",
			endpoint.Policy{Auth: endpoint.AppService, Class: classRead}, s.pingAppService),
		endpoint.On("PUT /_matrix/client/v3/directory/list/appservice/{networkID}/{roomID}",
			endpoint.Policy{Auth: endpoint.AppService, Class: classWrite}, s.setNetworkVisibility),
	}
}

type pingRequest struct {
	ID  string `path:"appserviceID"`
	Txn string `json:"transaction_id"`
}

type pingResponse struct {
	Duration int64 `json:"duration_ms"`
}

// pingAppService serves https://spec.matrix.org/v1.19/application-service-api/#post_matrixclientv1appserviceappserviceidping
func (s *Server) pingAppService(ctx context.Context, c endpoint.Caller, req pingRequest) (pingResponse, error) {
	service := s.Services.Set().ByID(c.AppService)
	if service == nil || service.ID != req.ID {
		return pingResponse{}, mxerr.New(mxerr.Forbidden, "This is another application service")
	}
	took, err := s.Services.Ping(ctx, service, req.Txn)
	return pingResponse{took.Milliseconds()}, err
}

type networkVisibilityRequest struct {
	Network    string    `path:"networkID"`
	RoomID     id.RoomID `path:"roomID"`
	Visibility string    `json:"visibility" required:"true"`
}

// setNetworkVisibility serves https://spec.matrix.org/v1.19/application-service-api/#put_matrixclientv3directorylistappservicenetworkidroomid
func (s *Server) setNetworkVisibility(ctx context.Context, c endpoint.Caller, req networkVisibilityRequest) (endpoint.Empty, error) {
	published, err := isPublished(req.Visibility)
	if err != nil {
		return endpoint.Empty{}, err
	}
	service := s.Services.Set().ByID(c.AppService)
	if service == nil {
		return endpoint.Empty{}, mxerr.New(mxerr.Forbidden, "This application service is not registered any more")
	}
	return endpoint.Empty{}, s.Rooms.PublishIn(ctx, appservice.InstanceID(service, req.Network), req.RoomID, published)
}
