package account

import (
	"crypto/rand"
	"strings"

	"parley/matrix/id"
	"parley/matrix/mxerr"
)

// LocalUser returns the user of this server that somebody means who writes a
// localpart or a whole user ID. The refusal is that of a wrong password: whoever
// logs in learns no more.
func (a *Accounts) LocalUser(name string) (id.UserID, error) {
	if !strings.HasPrefix(name, "@") {
		name = "@" + name + ":" + string(a.server)
	}
	user, err := id.ParseUserID(name)
	if err != nil || user.Server() != a.server {
		return "", wrongPassword()
	}
	return user, nil
}

// newUserID returns the ID of a user to be registered. Capitals become small
// letters, as the specification allows: people write their names with them. Service
// says that it is one of an application service.
func (a *Accounts) newUserID(localpart string, service bool) (id.UserID, error) {
	localpart = lowerASCII(localpart)
	user, err := id.NewUserID(localpart, a.server)
	switch {
	case err != nil:
		return "", mxerr.New(mxerr.InvalidUsername,
			"A username consists of a-z, 0-9, and the characters -.=_/+, and is not too long").Wrap(err)
	case localpart[0] == '_' && !service:
		// By custom these belong to application services.
		return "", mxerr.New(mxerr.InvalidUsername, "A username cannot begin with an underscore")
	case strings.Trim(localpart, "0123456789") == "":
		// Other servers give numbers to their guests, and people mistake them
		// for phone numbers.
		return "", mxerr.New(mxerr.InvalidUsername, "A username cannot be a number")
	}
	return user, nil
}

// lowerASCII leaves other letters than ASCII alone: they are refused, rather than
// turned into ASCII by the rules of Unicode as the Kelvin sign would be.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// inventLocalpart returns one that nobody has, as far as chance can.
func inventLocalpart(prefix string) string {
	return prefix + lowerASCII(rand.Text()[:12])
}
