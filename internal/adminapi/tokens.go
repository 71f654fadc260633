package adminapi

import (
	"context"
	"crypto/rand"
	"strconv"
	"time"

	"parley/internal/account"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// tokenRoutes serve https://element-hq.github.io/synapse/latest/usage/administration/admin_api/registration_tokens.html
func (s *Server) tokenRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("GET /_synapse/admin/v1/registration_tokens", policy(), s.tokens),
		endpoint.On("POST /_synapse/admin/v1/registration_tokens/new", policy(), s.newToken),
		endpoint.On("GET /_synapse/admin/v1/registration_tokens/{token}", policy(), s.token),
		endpoint.On("PUT /_synapse/admin/v1/registration_tokens/{token}", policy(), s.putToken),
		endpoint.On("DELETE /_synapse/admin/v1/registration_tokens/{token}", policy(), s.deleteToken),
	}
}

type token struct {
	Token     string `json:"token"`
	Allowed   *int64 `json:"uses_allowed"`
	Pending   int64  `json:"pending"` // a token is used when the account is made
	Completed int64  `json:"completed"`
	Expires   *int64 `json:"expiry_time"`
}

func tokenOf(t account.RegistrationToken) token {
	shown := token{Token: t.Token, Completed: t.Used}
	if t.Uses != 0 {
		shown.Allowed = &t.Uses
	}
	if !t.Expires.IsZero() {
		ms := t.Expires.UnixMilli()
		shown.Expires = &ms
	}
	return shown
}

type tokensRequest struct {
	Valid *bool `query:"valid"`
}

type tokensResponse struct {
	Tokens []token `json:"registration_tokens"`
}

func (s *Server) tokens(ctx context.Context, _ endpoint.Caller, req tokensRequest) (tokensResponse, error) {
	resp := tokensResponse{[]token{}}
	list, err := s.Accounts.RegistrationTokens(ctx)
	for _, t := range list {
		if req.Valid == nil || *req.Valid == t.Good {
			resp.Tokens = append(resp.Tokens, tokenOf(t))
		}
	}
	return resp, err
}

type newTokenRequest struct {
	Token   *string `json:"token"`
	Allowed *int64  `json:"uses_allowed"`
	Expires *int64  `json:"expiry_time"`
	Length  *int64  `json:"length"`
}

func (s *Server) newToken(ctx context.Context, _ endpoint.Caller, req newTokenRequest) (token, error) {
	var t account.RegistrationToken
	length := int64(16)
	if req.Length != nil {
		length = *req.Length
	}
	if length < 1 || length > 64 {
		return token{}, mxerr.New(mxerr.InvalidParam, "length is from 1 to 64")
	}
	t.Token = (rand.Text() + rand.Text() + rand.Text())[:length]
	if req.Token != nil {
		if t.Token = *req.Token; t.Token == "" {
			return token{}, mxerr.New(mxerr.InvalidParam, "token is empty")
		}
	}
	if req.Allowed != nil {
		if t.Uses = *req.Allowed; t.Uses <= 0 {
			return token{}, mxerr.New(mxerr.InvalidParam, "uses_allowed is less than 1")
		}
	}
	if req.Expires != nil {
		if t.Expires = time.UnixMilli(*req.Expires); !t.Expires.After(time.Now()) {
			return token{}, mxerr.New(mxerr.InvalidParam, "expiry_time is past")
		}
	}
	made, err := s.Accounts.CreateRegistrationToken(ctx, t)
	return tokenOf(made), err
}

type tokenRequest struct {
	Token string `path:"token"`
}

func (s *Server) token(ctx context.Context, _ endpoint.Caller, req tokenRequest) (token, error) {
	t, err := s.Accounts.RegistrationTokenInfo(ctx, req.Token)
	return tokenOf(t), err
}

type putTokenRequest struct {
	tokenRequest
	// Null is not the same as nothing here.
	Allowed canonjson.Value `json:"uses_allowed"`
	Expires canonjson.Value `json:"expiry_time"`
}

func (s *Server) putToken(ctx context.Context, _ endpoint.Caller, req putTokenRequest) (token, error) {
	t, err := s.Accounts.RegistrationTokenInfo(ctx, req.Token)
	if err != nil {
		return token{}, err
	}
	uses, expires, ended := t.Uses, t.Expires, false
	if req.Allowed != nil {
		n, none, err := numberOrNull("uses_allowed", req.Allowed)
		switch {
		case err != nil:
			return token{}, err
		case none:
			uses = 0
		case n == 0:
			ended = true
		default:
			uses = n
		}
	}
	if req.Expires != nil {
		n, none, err := numberOrNull("expiry_time", req.Expires)
		switch {
		case err != nil:
			return token{}, err
		case none:
			expires = time.Time{}
		default:
			expires = time.UnixMilli(n)
		}
	}
	if ended { // it can be used no more
		expires = time.Now()
	}
	if err := s.Accounts.ChangeRegistrationToken(ctx, req.Token, uses, expires); err != nil {
		return token{}, err
	}
	t.Uses, t.Expires = uses, expires
	shown := tokenOf(t)
	if ended {
		shown.Allowed = new(int64)
	}
	return shown, nil
}

// numberOrNull reads a number that is not negative.
func numberOrNull(name string, v canonjson.Value) (n int64, none bool, err error) {
	if v.Kind() == canonjson.Null {
		return 0, true, nil
	}
	n, ok := v.Int()
	if !ok || n < 0 {
		return 0, false, mxerr.New(mxerr.InvalidParam, "%s is neither null nor a number from 0 to %s", name, strconv.FormatInt(1<<53-1, 10))
	}
	return n, false, nil
}

func (s *Server) deleteToken(ctx context.Context, _ endpoint.Caller, req tokenRequest) (endpoint.Empty, error) {
	return endpoint.Empty{}, s.Accounts.DeleteRegistrationToken(ctx, req.Token)
}
