package adminapi

import (
	"context"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/id"
)

func (s *Server) whois(ctx context.Context, _ endpoint.Caller, req userRequest) (account.Whois, error) {
	if err := s.local(req.UserID); err != nil {
		return account.Whois{}, err
	}
	return s.Accounts.Whois(ctx, req.UserID)
}

type device struct {
	ID       id.DeviceID `json:"device_id"`
	Name     *string     `json:"display_name"`
	LastSeen int64       `json:"last_seen_ts"`
	LastIP   string      `json:"last_seen_ip"`
	UserID   id.UserID   `json:"user_id"`
}

type devicesResponse struct {
	Devices []device `json:"devices"`
	Total   int      `json:"total"`
}

func (s *Server) devices(ctx context.Context, _ endpoint.Caller, req userRequest) (devicesResponse, error) {
	resp := devicesResponse{Devices: []device{}}
	if err := s.known(ctx, req.UserID); err != nil {
		return resp, err
	}
	devices, err := s.Accounts.Devices(ctx, req.UserID)
	for _, d := range devices {
		resp.Devices = append(resp.Devices, device{d.ID, orNull(d.Name), d.Seen.UnixMilli(), d.SeenAddr, req.UserID})
	}
	resp.Total = len(devices)
	return resp, err
}

type deviceRequest struct {
	userRequest
	DeviceID id.DeviceID `path:"deviceID"`
}

func (s *Server) deleteDevice(ctx context.Context, _ endpoint.Caller, req deviceRequest) (endpoint.Empty, error) {
	if err := s.known(ctx, req.UserID); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Accounts.DeleteDevices(ctx, req.UserID, []id.DeviceID{req.DeviceID})
}
