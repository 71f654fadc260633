package loadgen

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
)

// account is a user who is logged in.
type account struct {
	Server string `json:"server"`
	User   string `json:"user_id"`
	Device string `json:"device_id,omitempty"` // not known of accounts of older files
	Token  string `json:"access_token"`
}

// users returns n accounts, and registers those that are missing. They may be
// members of rooms of earlier scenarios.
func (g *Generator) users(ctx context.Context, n int) ([]account, error) {
	if len(g.accounts) > 0 {
		if err := g.check(ctx, g.accounts[0]); err != nil {
			return nil, err
		}
	}
	if missing := n - len(g.accounts); missing > 0 {
		made, err := g.newUsers(ctx, missing)
		made = slices.DeleteFunc(made, func(a account) bool { return a.Token == "" })
		g.accounts = append(g.accounts, made...)
		if err := errors.Join(err, g.saveAccounts(made)); err != nil {
			return nil, err
		}
	}
	return g.accounts[:n:n], nil
}

// newUsers registers accounts that are in no room and will not be used again.
// Together with an error it returns what it has, with gaps.
func (g *Generator) newUsers(ctx context.Context, n int) ([]account, error) {
	g.o.Progress("registering %s", count(n, "account"))
	first := g.named
	g.named += n
	made := make([]account, n)
	err := g.each(ctx, n, func(ctx context.Context, c *client, i int) (err error) {
		name := fmt.Sprintf("bench_%s_%d", g.run, first+i)
		if made[i], err = g.register(ctx, c, name); err != nil {
			return fmt.Errorf("registering %s: %w", name, err)
		}
		made[i].Server = g.o.Target.url
		return nil
	})
	return made, err
}

// check asks the server whether it still knows an account.
func (g *Generator) check(ctx context.Context, a account) error {
	c := newClient(g.o.Target)
	defer c.hangUp()
	err := call{method: "GET", path: "/_matrix/client/v3/account/whoami", token: a.Token}.do(ctx, c)
	if r := refused(err); r != nil && r.status == 401 {
		return fmt.Errorf("the server no longer knows %s; if its database is a new one, delete %s: %w", a.User, g.o.AccountsFile, err)
	}
	return err
}

func (g *Generator) register(ctx context.Context, c *client, name string) (account, error) {
	password := ""
	if !g.o.NoPassword {
		password = "secret of " + name
	}
	var a account
	var err error
	if g.o.SharedSecret != "" {
		a, err = g.registerWithSecret(ctx, c, name, password)
	} else {
		a, err = g.registerOpenly(ctx, c, name, password)
	}
	if r := refused(err); r != nil && r.Code == "M_USER_IN_USE" && password != "" {
		return login(ctx, c, name, password) // the answer to an earlier attempt was lost
	}
	if err == nil && a.Token == "" {
		err = errors.New("the server gives no access token")
	}
	return a, err
}

// registerWithSecret registers as an operator who has the shared secret:
// https://element-hq.github.io/synapse/latest/admin_api/register_api.html
func (g *Generator) registerWithSecret(ctx context.Context, c *client, name, password string) (a account, err error) {
	const path = "/_synapse/admin/v1/register"
	var challenge struct{ Nonce string }
	if err := (call{method: "GET", path: path, result: &challenge}).do(ctx, c); err != nil {
		return a, err
	}
	mac := hmac.New(sha1.New, []byte(g.o.SharedSecret))
	fmt.Fprintf(mac, "%s\x00%s\x00%s\x00notadmin", challenge.Nonce, name, password)
	body := map[string]any{
		"nonce": challenge.Nonce, "username": name, "password": password, "admin": false,
		"mac": hex.EncodeToString(mac.Sum(nil)),
	}
	return a, call{method: "POST", path: path, body: body, result: &a}.do(ctx, c)
}

// registerOpenly goes through the stages that the server asks for:
// https://spec.matrix.org/v1.19/client-server-api/#account-registration
func (g *Generator) registerOpenly(ctx context.Context, c *client, name, password string) (a account, err error) {
	auth := map[string]string{"type": "m.login.dummy"}
	if g.o.RegistrationToken != "" {
		auth = map[string]string{"type": "m.login.registration_token", "token": g.o.RegistrationToken}
	}
	body := map[string]any{"username": name, "initial_device_display_name": "bench", "auth": auth}
	if password != "" {
		body["password"] = password
	}
	const most = 5 // stages, and refusals of an authentication without a session
	for range most {
		err = call{method: "POST", path: "/_matrix/client/v3/register", body: body, result: &a}.do(ctx, c)
		r := refused(err)
		if r == nil || r.status != 401 {
			return a, err
		}
		stage, problem := g.nextStage(r.body)
		if problem != nil {
			return a, fmt.Errorf("%w; %w", problem, err)
		}
		body["auth"] = stage
	}
	return a, err
}

// nextStage answers a response that says which stages there are.
func (g *Generator) nextStage(body []byte) (map[string]string, error) {
	var state struct {
		Session   string
		Completed []string
		Flows     []struct{ Stages []string }
	}
	if err := json.Unmarshal(body, &state); err != nil {
		return nil, fmt.Errorf("the server does not say how to authenticate: %w", err)
	}
	known := func(stage string) bool {
		return stage == "m.login.dummy" || stage == "m.login.registration_token" && g.o.RegistrationToken != ""
	}
	for _, flow := range state.Flows {
		if slices.ContainsFunc(flow.Stages, func(s string) bool { return !known(s) }) {
			continue
		}
		for _, stage := range flow.Stages {
			if !slices.Contains(state.Completed, stage) {
				auth := map[string]string{"type": stage, "session": state.Session}
				if stage != "m.login.dummy" {
					auth["token"] = g.o.RegistrationToken
				}
				return auth, nil
			}
		}
	}
	return nil, errors.New("registration is not open; a shared secret or a registration token is needed")
}

func login(ctx context.Context, c *client, name, password string) (a account, err error) {
	body := map[string]any{
		"type": "m.login.password", "password": password,
		"identifier": map[string]string{"type": "m.id.user", "user": name},
	}
	return a, call{method: "POST", path: "/_matrix/client/v3/login", body: body, result: &a}.do(ctx, c)
}

// loadAccounts reads what earlier runs have kept of this server.
func (g *Generator) loadAccounts() error {
	if g.o.AccountsFile == "" {
		return nil
	}
	f, err := os.Open(g.o.AccountsFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var a account
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return fmt.Errorf("%s:%d: %w", g.o.AccountsFile, n, err)
		}
		if a.Server == g.o.Target.url {
			g.accounts = append(g.accounts, a)
		}
	}
	return lines.Err()
}

// saveAccounts appends to the file of accounts.
func (g *Generator) saveAccounts(made []account) error {
	if g.o.AccountsFile == "" || len(made) == 0 {
		return nil
	}
	f, err := os.OpenFile(g.o.AccountsFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	for _, a := range made {
		line, err := json.Marshal(a)
		if err != nil {
			return errors.Join(err, f.Close())
		}
		out.Write(append(line, '\n'))
	}
	return errors.Join(out.Flush(), f.Close())
}
