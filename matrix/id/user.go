package id

// A UserID is "@localpart:server". The localpart ends at the first colon; the
// server name may hold more of them.
//
// https://spec.matrix.org/v1.19/appendices/#user-identifiers
type UserID string

var (
	userChars = chars(lower, digits, "-.=_/+")
	// graphicChars is U+0021 to U+007E: what a compliant localpart may hold,
	// the colon excepted, which ends it.
	graphicChars = chars(lower, upper, digits, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
)

// ParseUserID accepts historical user IDs too: any valid UTF-8 without colon and
// NUL as localpart, also none.
//
// https://spec.matrix.org/v1.19/appendices/#historical-user-ids
func ParseUserID(s string) (UserID, error) {
	return parse[UserID](KindUserID, s, checkUserID)
}

// ParseStrictUserID accepts what a new user ID must be: a localpart of one or
// more of a-z, 0-9, '-', '.', '=', '_', '/' and '+'.
func ParseStrictUserID(s string) (UserID, error) {
	return parse[UserID](KindUserID, s, checkStrictUserID)
}

// NewUserID builds a user ID that [ParseStrictUserID] accepts.
func NewUserID(localpart string, server ServerName) (UserID, error) {
	return join(KindUserID, userSigil, localpart, server, ParseStrictUserID)
}

func checkUserID(s string) string { return checkQualified(s, userSigil) }

func checkStrictUserID(s string) string {
	if reason := checkUserID(s); reason != "" {
		return reason
	}
	localpart, _, _ := split(s, userSigil)
	if localpart == "" {
		return "localpart is empty"
	}
	return checkChars(localpart, 1, &userChars, "localpart")
}

// Localpart returns the part between the sigil and the first colon.
func (u UserID) Localpart() string {
	localpart, _, _ := split(string(u), userSigil)
	return localpart
}

// Server returns the server that the account belongs to.
func (u UserID) Server() ServerName {
	_, server, _ := split(string(u), userSigil)
	return ServerName(server)
}

// Compliant reports whether the localpart is not empty and consists of U+0021
// to U+007E. Events of other users are accepted, but their IDs are not to be
// shown to clients outside of events. Compliant is weaker than what
// [ParseStrictUserID] demands.
func (u UserID) Compliant() bool {
	localpart, _, ok := split(string(u), userSigil)
	return ok && localpart != "" && graphicChars.firstOutside(localpart) < 0
}
