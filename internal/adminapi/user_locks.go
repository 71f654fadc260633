package adminapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/id"
)

type deactivateRequest struct {
	userRequest
	Erase bool `json:"erase"`
}

type deactivateResponse struct {
	Unbound string `json:"id_server_unbind_result"`
}

func (s *Server) deactivate(ctx context.Context, c endpoint.Caller, req deactivateRequest) (deactivateResponse, error) {
	err := other(c, req.UserID)
	if err == nil {
		err = s.known(ctx, req.UserID)
	}
	if err == nil {
		err = s.Accounts.Deactivate(ctx, req.UserID, req.Erase)
	}
	return deactivateResponse{"success"}, err
}

type resetPasswordRequest struct {
	userRequest
	Password string `json:"new_password" required:"true"`
	Logout   *bool  `json:"logout_devices"`
}

func (s *Server) resetPassword(ctx context.Context, _ endpoint.Caller, req resetPasswordRequest) (endpoint.Empty, error) {
	if err := s.known(ctx, req.UserID); err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.setPassword(ctx, req.UserID, req.Password, req.Logout == nil || *req.Logout)
}

func (s *Server) setPassword(ctx context.Context, user id.UserID, password string, logout bool) error {
	hash, err := s.Accounts.HashPassword(ctx, password)
	if err != nil {
		return err
	}
	return s.Accounts.SetPassword(ctx, user, hash, func(id.DeviceID) bool { return !logout })
}

type suspendRequest struct {
	userRequest
	Suspend bool `json:"suspend" required:"true"`
}

type suspendResponse struct {
	Suspended bool `json:"suspended"`
}

func (s *Server) suspend(ctx context.Context, c endpoint.Caller, req suspendRequest) (suspendResponse, error) {
	err := other(c, req.UserID)
	if err == nil {
		err = s.Accounts.SetSuspended(ctx, req.UserID, req.Suspend)
	}
	return suspendResponse{req.Suspend}, err
}

type lockRequest struct {
	userRequest
	Lock bool `json:"lock" required:"true"`
}

type lockResponse struct {
	Locked bool `json:"locked"`
}

func (s *Server) lock(ctx context.Context, c endpoint.Caller, req lockRequest) (lockResponse, error) {
	err := other(c, req.UserID)
	if err == nil {
		err = s.Accounts.SetLocked(ctx, req.UserID, req.Lock)
	}
	return lockResponse{req.Lock}, err
}
