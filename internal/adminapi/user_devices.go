package adminapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/id"
)

type connection struct {
	IP        string `json:"ip"`
	LastSeen  int64  `json:"last_seen"`
	UserAgent string `json:"user_agent"`
}

type session struct {
	Connections []connection `json:"connections"`
}

type sessions struct {
	Sessions []session `json:"sessions"`
}

type whoisResponse struct {
	UserID  id.UserID                `json:"user_id"`
	Devices map[id.DeviceID]sessions `json:"devices"`
}

func (s *Server) whois(ctx context.Context, _ endpoint.Caller, req userRequest) (whoisResponse, error) {
	resp := whoisResponse{req.UserID, map[id.DeviceID]sessions{}}
	if err := s.known(ctx, req.UserID); err != nil {
		return resp, err
	}
	devices, err := s.Accounts.Devices(ctx, req.UserID)
	for _, d := range devices {
		resp.Devices[d.ID] = sessions{[]session{{[]connection{{d.SeenAddr, d.Seen.UnixMilli(), d.SeenAgent}}}}}
	}
	return resp, err
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
