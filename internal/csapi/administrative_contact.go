package csapi

import (
	"context"
	"errors"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/internal/identity"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// contactRoutes are about the mail addresses and telephone numbers of accounts, and
// about which identity servers tell them to others.
// https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information
func (s *Server) contactRoutes() []endpoint.Route {
	change := endpoint.Policy{Auth: endpoint.User, Class: classAuth, BodyLimit: interactionLimit}
	ask := endpoint.Policy{Auth: endpoint.User, Class: classIdentity, BodyLimit: 16 << 10}
	return []endpoint.Route{
		endpoint.On("GET /_matrix/client/v3/account/3pid", endpoint.Policy{Auth: endpoint.User, Class: classRead}, s.contacts),
		endpoint.On("POST /_matrix/client/v3/account/3pid", ask, s.bindOfOld),
		endpoint.On("POST /_matrix/client/v3/account/3pid/add", change, s.addContact),
		endpoint.On("POST /_matrix/client/v3/account/3pid/bind", ask, s.bind),
		endpoint.On("POST /_matrix/client/v3/account/3pid/unbind", ask, s.unbind),
		endpoint.On("POST /_matrix/client/v3/account/3pid/delete", ask, s.deleteContact),
	}
}

type contact struct {
	account.ThreePID
	Validated int64 `json:"validated_at"`
	Added     int64 `json:"added_at"`
}

type contactsResponse struct {
	ThreePIDs []contact `json:"threepids"`
}

// contacts serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3account3pid
func (s *Server) contacts(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (contactsResponse, error) {
	list, err := s.Accounts.Contacts(ctx, c.UserID)
	resp := contactsResponse{[]contact{}}
	for _, one := range list {
		resp.ThreePIDs = append(resp.ThreePIDs, contact{one.ThreePID, one.Validated.UnixMilli(), one.Added.UnixMilli()})
	}
	return resp, err
}

type addContactRequest struct {
	Body canonjson.Value `body:"raw"`
}

// addContact serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidadd
//
// That an address is not validated yet is said before the password is asked for:
// clients ask again and again, until the user has followed the link.
func (s *Server) addContact(ctx context.Context, c endpoint.Caller, req addContactRequest) (endpoint.Empty, error) {
	if req.Body.Get("auth") == nil || req.Body.Get("sid") != nil {
		if _, err := s.proven(ctx, req.Body); err != nil {
			return endpoint.Empty{}, err
		}
	}
	done, err := s.confirm(ctx, c, account.ToAdd, req.Body)
	if err != nil {
		return endpoint.Empty{}, err
	}
	p, err := s.proven(ctx, done.Body)
	if err != nil {
		return endpoint.Empty{}, err
	}
	return endpoint.Empty{}, s.Accounts.AddContact(ctx, c.UserID, p)
}

// proven reads the validation of a request, which has to have come to its end.
func (s *Server) proven(ctx context.Context, body canonjson.Value) (p account.Proof, err error) {
	if err := decode(body, &p); err != nil {
		return p, err
	}
	if p.SID == "" || p.Secret == "" {
		return p, mxerr.New(mxerr.MissingParam, "sid and client_secret are needed")
	}
	return p, s.Accounts.CheckProof(ctx, p)
}

type bindRequest struct {
	Server id.ServerName `json:"id_server" required:"true"`
	Token  string        `json:"id_access_token" required:"true"`
	SID    string        `json:"sid" required:"true"`
	Secret string        `json:"client_secret" required:"true"`
}

// bind serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidbind
func (s *Server) bind(ctx context.Context, c endpoint.Caller, req bindRequest) (endpoint.Empty, error) {
	has, err := s.Accounts.Bindings(ctx, c.UserID)
	if err != nil {
		return endpoint.Empty{}, err
	}
	if len(has) >= account.MaxBindings {
		return endpoint.Empty{}, mxerr.New(mxerr.Forbidden, "You have %d addresses at identity servers already", len(has))
	}
	medium, address, err := s.Identity.Bind(ctx, identity.Binding{Server: req.Server, Token: req.Token, SID: req.SID, Secret: req.Secret}, c.UserID)
	if err != nil {
		return endpoint.Empty{}, err
	}
	bound := account.Binding{ThreePID: account.ThreePID{Medium: account.Medium(medium), Address: address}, Server: req.Server}
	if common, err := account.ParseThreePID(medium, address); err == nil {
		bound.ThreePID = common // by which the user will name it
	}
	return endpoint.Empty{}, s.Accounts.AddBinding(ctx, c.UserID, bound)
}

type bindOfOldRequest struct {
	Creds *struct {
		Server id.ServerName `json:"id_server"`
		Token  string        `json:"id_access_token"`
		account.Proof
	} `json:"three_pid_creds" required:"true"`
}

// bindOfOld serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pid
//
// By its note it is equivalent to bind, which confirms nothing with a password, and
// so must not give the account an address by which a password is reset.
func (s *Server) bindOfOld(ctx context.Context, c endpoint.Caller, req bindOfOldRequest) (endpoint.Empty, error) {
	_, err := s.bind(ctx, c, bindRequest{req.Creds.Server, req.Creds.Token, req.Creds.SID, req.Creds.Secret})
	for _, code := range []mxerr.Code{mxerr.NoValidSession, mxerr.SessionNotValidated, mxerr.SessionExpired} {
		if errors.Is(err, code) {
			return endpoint.Empty{}, mxerr.New(mxerr.ThreePIDAuthFailed, "The identity server does not say that you have the address").Wrap(err)
		}
	}
	return endpoint.Empty{}, err
}

type unbindRequest struct {
	Server  id.ServerName `json:"id_server"`
	Medium  string        `json:"medium" required:"true"`
	Address string        `json:"address" required:"true"`
}

// An unbindResponse says whether identity servers have forgotten what they had to.
type unbindResponse struct {
	Result string `json:"id_server_unbind_result"`
}

func unbound(all bool) unbindResponse {
	if all {
		return unbindResponse{"success"}
	}
	return unbindResponse{"no-support"}
}

// unbind serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidunbind
func (s *Server) unbind(ctx context.Context, c endpoint.Caller, req unbindRequest) (unbindResponse, error) {
	which, err := account.ParseThreePID(req.Medium, req.Address)
	if err != nil {
		return unbindResponse{}, err
	}
	all, err := s.unbindFrom(ctx, c.UserID, which, req.Server)
	return unbound(all), err
}

// deleteContact serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3piddelete
//
// What an identity server says does not keep the address in the account. Who is
// suspended keeps it, so that they can be reached.
// https://spec.matrix.org/v1.19/client-server-api/#account-suspension
func (s *Server) deleteContact(ctx context.Context, c endpoint.Caller, req unbindRequest) (unbindResponse, error) {
	if err := notSuspended(c); err != nil {
		return unbindResponse{}, err
	}
	which, err := account.ParseThreePID(req.Medium, req.Address)
	if err != nil {
		return unbindResponse{}, err
	}
	if err := s.Accounts.RemoveContact(ctx, c.UserID, which); err != nil {
		return unbindResponse{}, err
	}
	all, err := s.unbindFrom(ctx, c.UserID, which, req.Server)
	if refusal := (*mxerr.Error)(nil); errors.As(err, &refusal) {
		all, err = false, nil
	}
	return unbound(all), err
}

// unbindFrom has an identity server forget an address of a user; if none is named,
// all of which it is known that they have it. It reports whether there are such and
// all have. The error is that of the last one that has not.
func (s *Server) unbindFrom(ctx context.Context, user id.UserID, which account.ThreePID, server id.ServerName) (all bool, err error) {
	bindings := []account.Binding{{ThreePID: which, Server: server}}
	if server == "" {
		if bindings, err = s.bindingsOf(ctx, user, which); err != nil {
			return false, err
		}
	}
	all, err = s.unbindEach(ctx, user, bindings)
	return all && len(bindings) > 0, err
}

// unbindEach is unbindFrom for these bindings. It reports true if there are none.
func (s *Server) unbindEach(ctx context.Context, user id.UserID, bindings []account.Binding) (all bool, err error) {
	all = true
	for _, b := range bindings {
		done, refusal := s.Identity.Unbind(ctx, b.Server, user, string(b.Medium), b.Address)
		if refusal != nil {
			err = refusal
		}
		all = all && done
		if done {
			if err := s.Accounts.ForgetBinding(ctx, user, b); err != nil {
				return false, err
			}
		}
	}
	return all, err
}

func (s *Server) bindingsOf(ctx context.Context, user id.UserID, which account.ThreePID) (list []account.Binding, err error) {
	all, err := s.Accounts.Bindings(ctx, user)
	for _, b := range all {
		if b.ThreePID == which {
			list = append(list, b)
		}
	}
	return list, err
}
