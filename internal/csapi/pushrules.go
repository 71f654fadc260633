package csapi

import (
	"context"

	"parley/internal/accountdata"
	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/pushrule"
)

func (s *Server) pushRuleRoutes() []endpoint.Route {
	read := endpoint.Policy{Auth: endpoint.User}
	write := endpoint.Policy{Auth: endpoint.User, Class: classWrite}
	return []endpoint.Route{
		// The slash is easily forgotten, as no other path has one.
		endpoint.On("GET /_matrix/client/v3/pushrules", read, s.pushRules),
		endpoint.On("GET /_matrix/client/v3/pushrules/{$}", read, s.pushRules),
		endpoint.On("GET /_matrix/client/v3/pushrules/global", read, s.globalPushRules),
		endpoint.On("GET /_matrix/client/v3/pushrules/global/{$}", read, s.globalPushRules),
		endpoint.On("GET /_matrix/client/v3/pushrules/global/{kind}/{ruleID}", read, s.pushRule),
		endpoint.On("PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleID}", write, s.putPushRule),
		endpoint.On("DELETE /_matrix/client/v3/pushrules/global/{kind}/{ruleID}", write, s.deletePushRule),
		endpoint.On("GET /_matrix/client/v3/pushrules/global/{kind}/{ruleID}/enabled", read, s.pushRuleEnabled),
		endpoint.On("PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleID}/enabled", write, s.putPushRuleEnabled),
		endpoint.On("GET /_matrix/client/v3/pushrules/global/{kind}/{ruleID}/actions", read, s.pushRuleActions),
		endpoint.On("PUT /_matrix/client/v3/pushrules/global/{kind}/{ruleID}/actions", write, s.putPushRuleActions),
	}
}

// pushRules serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrules
func (s *Server) pushRules(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (canonjson.Value, error) {
	return s.AccountData.Get(ctx, c.UserID, "", accountdata.PushRules)
}

// globalPushRules serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobal
func (s *Server) globalPushRules(ctx context.Context, c endpoint.Caller, _ endpoint.Empty) (pushrule.Ruleset, error) {
	return s.AccountData.Rules(ctx, c.UserID)
}

type pushRuleRequest struct {
	Kind   string `path:"kind"`
	RuleID string `path:"ruleID"`
}

// pushRule serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleid
func (s *Server) pushRule(ctx context.Context, c endpoint.Caller, req pushRuleRequest) (pushrule.Rule, error) {
	kind, err := pushrule.ParseKind(req.Kind)
	if err != nil {
		return pushrule.Rule{}, err
	}
	rules, err := s.AccountData.Rules(ctx, c.UserID)
	if err != nil {
		return pushrule.Rule{}, err
	}
	return rules.Rule(kind, req.RuleID)
}

type putPushRuleRequest struct {
	pushRuleRequest
	Before string          `query:"before"`
	After  string          `query:"after"`
	Body   canonjson.Value `body:"raw" required:"true"`
}

// putPushRule serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleid
func (s *Server) putPushRule(ctx context.Context, c endpoint.Caller, req putPushRuleRequest) (endpoint.Empty, error) {
	rule, err := pushrule.ParseRule(pushrule.Kind(req.Kind), req.RuleID, req.Body)
	if err != nil {
		return endpoint.Empty{}, err
	}
	return s.editPushRule(ctx, c, req.pushRuleRequest, func(now pushrule.Settings, _ pushrule.Ruleset, kind pushrule.Kind) (pushrule.Settings, error) {
		return now.PutRule(kind, rule, pushrule.Position{Before: req.Before, After: req.After})
	})
}

// deletePushRule serves https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3pushrulesglobalkindruleid
func (s *Server) deletePushRule(ctx context.Context, c endpoint.Caller, req pushRuleRequest) (endpoint.Empty, error) {
	return s.editPushRule(ctx, c, req, func(now pushrule.Settings, defaults pushrule.Ruleset, kind pushrule.Kind) (pushrule.Settings, error) {
		return now.DeleteRule(defaults, kind, req.RuleID)
	})
}

type pushRuleEnabledResponse struct {
	Enabled bool `json:"enabled"`
}

// pushRuleEnabled serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleidenabled
func (s *Server) pushRuleEnabled(ctx context.Context, c endpoint.Caller, req pushRuleRequest) (pushRuleEnabledResponse, error) {
	rule, err := s.pushRule(ctx, c, req)
	return pushRuleEnabledResponse{rule.Enabled}, err
}

// editPushRuleRequest sets something of a rule.
type editPushRuleRequest struct {
	pushRuleRequest
	Body canonjson.Value `body:"raw" required:"true"`
}

// putPushRuleEnabled serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleidenabled
func (s *Server) putPushRuleEnabled(ctx context.Context, c endpoint.Caller, req editPushRuleRequest) (endpoint.Empty, error) {
	enabled, err := pushrule.ParseEnabled(req.Body)
	if err != nil {
		return endpoint.Empty{}, err
	}
	return s.editPushRule(ctx, c, req.pushRuleRequest, func(now pushrule.Settings, defaults pushrule.Ruleset, kind pushrule.Kind) (pushrule.Settings, error) {
		return now.SetEnabled(defaults, kind, req.RuleID, enabled)
	})
}

type pushRuleActionsResponse struct {
	Actions []pushrule.Action `json:"actions"`
}

// pushRuleActions serves https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushrulesglobalkindruleidactions
func (s *Server) pushRuleActions(ctx context.Context, c endpoint.Caller, req pushRuleRequest) (pushRuleActionsResponse, error) {
	rule, err := s.pushRule(ctx, c, req)
	return pushRuleActionsResponse{rule.Actions}, err
}

// putPushRuleActions serves https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3pushrulesglobalkindruleidactions
func (s *Server) putPushRuleActions(ctx context.Context, c endpoint.Caller, req editPushRuleRequest) (endpoint.Empty, error) {
	actions, err := pushrule.ParseActions(req.Body)
	if err != nil {
		return endpoint.Empty{}, err
	}
	return s.editPushRule(ctx, c, req.pushRuleRequest, func(now pushrule.Settings, defaults pushrule.Ruleset, kind pushrule.Kind) (pushrule.Settings, error) {
		return now.SetActions(defaults, kind, req.RuleID, actions)
	})
}

// editPushRule changes the caller's settings by f, which gets the server's rules
// and the kind of the rule that the request is about.
func (s *Server) editPushRule(ctx context.Context, c endpoint.Caller, req pushRuleRequest,
	f func(pushrule.Settings, pushrule.Ruleset, pushrule.Kind) (pushrule.Settings, error)) (endpoint.Empty, error) {
	kind, err := pushrule.ParseKind(req.Kind)
	if err != nil {
		return endpoint.Empty{}, err
	}
	defaults := s.AccountData.Defaults(c.UserID)
	return endpoint.Empty{}, s.AccountData.EditRules(ctx, c.UserID, func(now pushrule.Settings) (pushrule.Settings, error) {
		return f(now, defaults, kind)
	})
}
