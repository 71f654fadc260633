package account

import (
	"net/http"
	"slices"
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/mxerr"
)

// A Stage is one thing to be done in user-interactive authentication.
type Stage string

// The stages that there are.
const (
	StageDummy             Stage = "m.login.dummy"
	StagePassword          Stage = "m.login.password"
	StageRegistrationToken Stage = "m.login.registration_token"
	StageTerms             Stage = "m.login.terms"
	StageEmail             Stage = "m.login.email.identity"
	StageMSISDN            Stage = "m.login.msisdn"
	StageSSO               Stage = "m.login.sso"
	// StageOAuth is done on the page where the user manages the account:
	// https://spec.matrix.org/v1.19/client-server-api/#oauth-authentication
	StageOAuth Stage = "m.oauth"
)

// identifies reports whether a stage can show who somebody is.
func (s Stage) identifies() bool { return s == StagePassword || s == StageEmail || s == StageMSISDN }

// A Flow is stages to be done in this order.
type Flow []Stage

// flows are what a client may choose from.
type flows []Flow

// done reports whether the stages done, in their order, are a whole flow.
func (f flows) done(completed []Stage) bool {
	return slices.ContainsFunc(f, func(flow Flow) bool { return slices.Equal(flow, completed) })
}

// next reports whether a stage may follow the stages done.
func (f flows) next(completed []Stage, stage Stage) bool {
	n := len(completed)
	return slices.ContainsFunc(f, func(flow Flow) bool {
		return len(flow) > n && slices.Equal(flow[:n], completed) && flow[n] == stage
	})
}

// have reports whether a stage is in any flow.
func (f flows) have(stage Stage) bool {
	return slices.ContainsFunc(f, func(flow Flow) bool { return slices.Contains(flow, stage) })
}

// challenge is the answer that tells a client what is left to be done, and why
// its last attempt was refused, if it was.
func (f flows) challenge(session string, completed []Stage, i Interaction, refusal *mxerr.Error) *mxerr.Error {
	type flow struct {
		Stages Flow `json:"stages"`
	}
	list := make([]flow, len(f))
	for i := range f {
		list[i] = flow{f[i]}
	}
	e := &mxerr.Error{Status: http.StatusUnauthorized}
	if refusal != nil {
		e.Code, e.Message = refusal.Code, refusal.Message
	}
	params := make(map[Stage]any)
	if f.have(StageTerms) {
		params[StageTerms] = map[string]Terms{"policies": i.Terms}
	}
	if f.have(StageOAuth) {
		params[StageOAuth] = map[string]string{"url": i.Page(session)}
	}
	e = e.With("session", session).With("flows", list).With("params", params)
	if len(completed) > 0 {
		e = e.With("completed", completed)
	}
	return e
}

// An attempt is the auth member of a request.
type attempt struct {
	session string // empty if the client has none
	stage   Stage  // empty if the client only asks how far it is
	auth    canonjson.Value
}

// readAttempt takes a request apart into what it is about and the attempt, nil
// if there is none.
func readAttempt(body canonjson.Value) (request canonjson.Value, _ *attempt, err error) {
	if body == nil {
		return canonjson.Value("{}"), nil, nil
	}
	auth := body.Get("auth")
	request = body.Without("auth")
	switch auth.Kind() {
	case canonjson.Absent, canonjson.Null:
		return request, nil, nil
	case canonjson.Object:
	default:
		return nil, nil, mxerr.New(mxerr.BadJSON, "auth has to be an object")
	}
	session, err := text(auth, "session")
	if err != nil {
		return nil, nil, err
	}
	stage, err := text(auth, "type")
	if err != nil {
		return nil, nil, err
	}
	return request, &attempt{session, Stage(stage), auth}, nil
}

// text returns a member that is a string, empty if it is not there.
func text(object canonjson.Value, name string) (string, error) {
	v := object.Get(name)
	if v.Kind() == canonjson.Absent || v.Kind() == canonjson.Null {
		return "", nil
	}
	s, ok := v.Text()
	if !ok || strings.IndexByte(s, 0) >= 0 {
		return "", mxerr.New(mxerr.BadJSON, "%s has to be a string without NUL", name)
	}
	return s, nil
}

// merge returns the object old with the members that now has instead.
func merge(old, now canonjson.Value) (canonjson.Value, error) {
	if len(old) == len("{}") {
		return now, nil
	}
	if len(now) == len("{}") {
		return old, nil
	}
	both := slices.Concat(old[:len(old)-1], canonjson.Value(","), now[1:])
	return canonjson.Canonical(both, canonjson.Lenient) // of two members with one name it takes the last
}

// splitStages reads what joinStages writes.
func splitStages(s string) []Stage {
	var stages []Stage
	for _, name := range strings.Fields(s) {
		stages = append(stages, Stage(name))
	}
	return stages
}

func joinStages(stages []Stage) string {
	names := make([]string, len(stages))
	for i, s := range stages {
		names[i] = string(s)
	}
	return strings.Join(names, " ")
}

// splitFlows reads what joinFlows writes.
func splitFlows(s string) []Flow {
	var list []Flow
	for line := range strings.Lines(s) {
		list = append(list, splitStages(line))
	}
	return list
}

func joinFlows(list []Flow) string {
	lines := make([]string, len(list))
	for i, f := range list {
		lines[i] = joinStages(f)
	}
	return strings.Join(lines, "\n")
}
