package adminapi

import (
	"context"
	"errors"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// A threePID is an address of an account.
type threePID struct {
	account.ThreePID
	Added     int64 `json:"added_at"`
	Validated int64 `json:"validated_at"`
}

func (s *Server) threePIDs(ctx context.Context, user id.UserID) ([]threePID, error) {
	contacts, err := s.Accounts.Contacts(ctx, user)
	list := []threePID{}
	for _, c := range contacts {
		list = append(list, threePID{c.ThreePID, c.Added.UnixMilli(), c.Validated.UnixMilli()})
	}
	return list, err
}

// contacts are the addresses that a user is to have.
func (r putUserRequest) contacts() (list []account.ThreePID, err error) {
	if r.ThreePIDs == nil {
		return nil, nil
	}
	for _, one := range *r.ThreePIDs {
		t, err := account.ParseThreePID(one.Medium, one.Address)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

type ownerRequest struct {
	Medium  string `path:"medium"`
	Address string `path:"address"`
}

type ownerResponse struct {
	UserID id.UserID `json:"user_id"`
}

// owner tells whose address that is.
func (s *Server) owner(ctx context.Context, _ endpoint.Caller, req ownerRequest) (ownerResponse, error) {
	t, err := account.ParseThreePID(req.Medium, req.Address)
	if err != nil {
		return ownerResponse{}, err
	}
	user, err := s.Accounts.Owner(ctx, t)
	if errors.Is(err, mxerr.ThreePIDNotFound) {
		err = mxerr.New(mxerr.NotFound, "No account has this address")
	}
	return ownerResponse{user}, err
}

type externalRequest struct {
	Provider string `path:"provider"`
	Subject  string `path:"externalID"`
}

// knownElsewhere tells whom an identity provider knows by an ID.
func (s *Server) knownElsewhere(ctx context.Context, _ endpoint.Caller, req externalRequest) (ownerResponse, error) {
	user, err := s.Accounts.ExternalUser(ctx, account.ExternalID{Provider: req.Provider, Subject: req.Subject})
	return ownerResponse{user}, err
}
