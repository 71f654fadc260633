package csapi

import (
	"context"
	"errors"
	"net/http"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) deviceRoutes() []endpoint.Route {
	removal := endpoint.Policy{Auth: endpoint.User, Class: classAuth, BodyLimit: interactionLimit}
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/devices", endpoint.Policy{Auth: endpoint.UserOrGuest}, s.devices),
		endpoint.On("GET /_matrix/client/v3/devices/{deviceID}", endpoint.Policy{Auth: endpoint.UserOrGuest}, s.device),
		endpoint.On("PUT /_matrix/client/v3/devices/{deviceID}", endpoint.Policy{Auth: endpoint.UserOrGuest, Class: classWrite}, s.updateDevice),
		endpoint.On("DELETE /_matrix/client/v3/devices/{deviceID}", removal, s.deleteDevice),
		endpoint.On("POST /_matrix/client/v3/delete_devices", removal, s.deleteDevices),
	}
}

// clientDevice is a device as clients see it.
type clientDevice struct {
	ID       id.DeviceID `json:"device_id"`
	Name     string      `json:"display_name,omitempty"`
	SeenIP   string      `json:"last_seen_ip,omitempty"`
	SeenTime int64       `json:"last_seen_ts"`
}

func showDevice(d account.Device) clientDevice {
	return clientDevice{d.ID, d.Name, d.SeenAddr, d.Seen.UnixMilli()}
}

type devicesResponse struct {
	Devices []clientDevice `json:"devices"`
}

// devices serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3devices
func (s *Server) devices(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (devicesResponse, error) {
	list, err := s.Accounts.Devices(ctx, c.UserID)
	resp := devicesResponse{make([]clientDevice, len(list))}
	for i, d := range list {
		resp.Devices[i] = showDevice(d)
	}
	return resp, err
}

type deviceRequest struct {
	DeviceID id.DeviceID `path:"deviceID"`
}

// device serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3devicesdeviceid
func (s *Server) device(ctx context.Context, c endpoint.Caller, req deviceRequest) (clientDevice, error) {
	d, err := s.Accounts.Device(ctx, c.UserID, req.DeviceID)
	return showDevice(d), err
}

type updateDeviceRequest struct {
	DeviceID id.DeviceID `path:"deviceID"`
	Name     *string     `json:"display_name"`
}

// updateDevice serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3devicesdeviceid
func (s *Server) updateDevice(ctx context.Context, c endpoint.Caller, req updateDeviceRequest) (endpoint.Reply[endpoint.Empty], error) {
	var resp endpoint.Reply[endpoint.Empty]
	_, err := s.Accounts.Device(ctx, c.UserID, req.DeviceID)
	if errors.Is(err, mxerr.NotFound) && c.AppService != "" {
		d := account.NewDevice{User: c.UserID, ID: req.DeviceID}
		if req.Name != nil {
			d.Name = *req.Name
		}
		made, err := s.Accounts.AddDevice(ctx, d)
		if made {
			resp.Status = http.StatusCreated
		}
		return resp, err
	}
	if err != nil || req.Name == nil {
		return resp, err
	}
	return resp, s.Accounts.RenameDevice(ctx, c.UserID, req.DeviceID, *req.Name)
}

type deleteDeviceRequest struct {
	DeviceID id.DeviceID     `path:"deviceID"`
	Body     canonjson.Value `body:"raw"`
}

// deleteDevice serves https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3devicesdeviceid
func (s *Server) deleteDevice(ctx context.Context, c endpoint.Caller, req deleteDeviceRequest) (endpoint.Empty, error) {
	if _, err := s.confirm(ctx, c, toLogOutDevice+string(req.DeviceID), req.Body); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Accounts.DeleteDevices(ctx, c.UserID, []id.DeviceID{req.DeviceID})
}

type deleteDevicesRequest struct {
	Body canonjson.Value `body:"raw"`
}

// deleteDevices serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3delete_devices
func (s *Server) deleteDevices(ctx context.Context, c endpoint.Caller, req deleteDevicesRequest) (endpoint.Empty, error) {
	var list struct {
		Devices []id.DeviceID `json:"devices"`
	}
	if err := decode(req.Body, &list); err != nil {
		return endpoint.Empty{}, err
	}
	done, err := s.confirm(ctx, c, toLogOutDevices, req.Body)
	if err != nil {
		return endpoint.Empty{}, err
	}
	if err := decode(done.Body, &list); err != nil {
		return endpoint.Empty{}, err
	}
	if list.Devices == nil {
		return endpoint.Empty{}, mxerr.New(mxerr.MissingParam, "devices is missing")
	}
	return endpoint.Empty{}, s.Accounts.DeleteDevices(ctx, c.UserID, list.Devices)
}
