package remote

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"parley/internal/cache"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// Profiles are those of users of other servers, each as it was at most a few
// minutes ago. They are safe for concurrent use.
type Profiles struct {
	servers *Servers
	known   *cache.Cache[id.UserID, profile]
}

// profile is what a server has answered.
type profile struct {
	fields canonjson.Value
	err    error // a *mxerr.Error
	until  time.Time
}

const (
	profileTime     = 5 * time.Minute  // for which a profile is taken to be as it was
	refusalTime     = time.Minute      // for which somebody is taken to have none
	profileWait     = 10 * time.Second // for an answer
	profileSize     = 128 << 10
	profilesInTotal = 8 << 20 // bytes
)

// NewProfiles returns one that knows no profile yet.
func NewProfiles(s *Servers) *Profiles {
	weigh := func(p profile) int { return 300 + len(p.fields) }
	return &Profiles{servers: s, known: cache.New[id.UserID](profilesInTotal, weigh)}
}

// Get returns the fields of a profile. The error is a *mxerr.Error if there is none
// to be had: M_NOT_FOUND, or M_FORBIDDEN if the user's server says so.
// https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1queryprofile
func (p *Profiles) Get(ctx context.Context, user id.UserID) (canonjson.Value, error) {
	if k, ok := p.known.Get(user); ok && time.Now().Before(k.until) {
		return k.fields, k.err
	}
	answer, err := p.servers.Do(ctx, Call{
		Server: user.Server(), Method: http.MethodGet, Path: federation + "/v1/query/profile",
		Query: url.Values{"user_id": {string(user)}}, Timeout: profileWait, Limit: profileSize,
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, mxerr.NotFound):
		err = mxerr.New(mxerr.NotFound, "There is no profile of %s", user)
	case errors.Is(err, mxerr.Forbidden):
		err = mxerr.New(mxerr.Forbidden, "The server of %s does not show the profile", user)
	case err != nil:
		// It may be there the next moment, and health knows whether to ask.
		return nil, mxerr.New(mxerr.NotFound, "The server of %s could not be asked for the profile", user).Wrap(err)
	}
	k := profile{readProfile(answer), err, time.Now().Add(profileTime)}
	if err != nil {
		k.fields, k.until = nil, time.Now().Add(refusalTime)
	}
	p.known.Put(user, k)
	return k.fields, k.err
}

// readProfile takes what makes sense of a profile.
func readProfile(answer canonjson.Value) canonjson.Value {
	fields := canonjson.Value("{}")
	if answer.Kind() != canonjson.Object {
		return fields
	}
	fields = answer
	for _, name := range [...]string{"displayname", "avatar_url"} {
		if value := fields.Get(name); value != nil && value.Kind() != canonjson.String {
			fields = fields.Without(name)
		}
	}
	return fields
}
