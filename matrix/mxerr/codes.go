package mxerr

// A Code is the errcode of a response. It implements error so that errors.Is
// can name it; to return one, use [New], which adds a message.
type Code string

// The codes of the specification. What the members of the response are called
// that a code brings along is said here; [Error.With] sets them.
const (
	// AppserviceLoginUnsupported tells an application service that this server
	// hands out no tokens to its users, so it must set inhibit_login.
	AppserviceLoginUnsupported Code = "M_APPSERVICE_LOGIN_UNSUPPORTED"
	// BadAlias: an alias newly listed in m.room.canonical_alias does not lead
	// to the room.
	BadAlias Code = "M_BAD_ALIAS"
	// BadJSON: the body is JSON, but a member has the wrong type or value or is
	// not there. With status 405, for account data that only the server sets.
	BadJSON Code = "M_BAD_JSON"
	// BadState: the change makes no sense in the present state, such as lifting
	// a ban that does not exist.
	BadState Code = "M_BAD_STATE"
	// BadStatus: a pinged application service did not answer with 2xx. Members:
	// status, body.
	BadStatus Code = "M_BAD_STATUS"
	// CannotLeaveServerNoticeRoom: users have to stay where the server tells
	// them things.
	CannotLeaveServerNoticeRoom Code = "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"
	// CannotOverwriteMedia: the media ID of the upload has its content already.
	CannotOverwriteMedia Code = "M_CANNOT_OVERWRITE_MEDIA"
	// CaptchaInvalid: the answer to the captcha was wrong.
	CaptchaInvalid Code = "M_CAPTCHA_INVALID"
	// CaptchaNeeded: a captcha has to be solved first.
	CaptchaNeeded Code = "M_CAPTCHA_NEEDED"
	// ConnectionFailed: a pinged application service could not be reached.
	ConnectionFailed Code = "M_CONNECTION_FAILED"
	// ConnectionTimeout: a pinged application service did not answer in time.
	ConnectionTimeout Code = "M_CONNECTION_TIMEOUT"
	// DestinationRejected: the identity server does not send to this phone number.
	DestinationRejected Code = "M_DESTINATION_REJECTED"
	// DuplicateAnnotation: the sender has reacted to this event with this key
	// already.
	DuplicateAnnotation Code = "M_DUPLICATE_ANNOTATION"
	// EmailSendError: the identity server could not send the mail.
	EmailSendError Code = "M_EMAIL_SEND_ERROR"
	// Exclusive: the name belongs to the namespace of an application service, or
	// an application service reached outside of its own.
	Exclusive Code = "M_EXCLUSIVE"
	// Forbidden: the caller may not do this, or the password is wrong.
	Forbidden Code = "M_FORBIDDEN"
	// GuestAccessForbidden: guests may not do this or enter this room.
	GuestAccessForbidden Code = "M_GUEST_ACCESS_FORBIDDEN"
	// IncompatibleRoomVersion: the joining or invited server did not say that
	// it supports the version of the room. Member: room_version.
	IncompatibleRoomVersion Code = "M_INCOMPATIBLE_ROOM_VERSION"
	// InvalidAddress: the identity server cannot make sense of the phone number.
	InvalidAddress Code = "M_INVALID_ADDRESS"
	// InvalidEmail: the identity server cannot make sense of the mail address.
	InvalidEmail Code = "M_INVALID_EMAIL"
	// InvalidParam: a parameter has a value or form that is not allowed.
	InvalidParam Code = "M_INVALID_PARAM"
	// InvalidPepper: a lookup used a pepper that the identity server has changed
	// since.
	InvalidPepper Code = "M_INVALID_PEPPER"
	// InvalidRoomState: the state that createRoom was asked for contradicts
	// itself or breaks the authorization rules.
	InvalidRoomState Code = "M_INVALID_ROOM_STATE"
	// InvalidSignature: an uploaded key or signature does not verify.
	InvalidSignature Code = "M_INVALID_SIGNATURE"
	// InvalidUsername: the name cannot be the localpart of a user ID here.
	InvalidUsername Code = "M_INVALID_USERNAME"
	// InviteBlocked: the invited user does not want this invite. Also sent to
	// other servers.
	InviteBlocked Code = "M_INVITE_BLOCKED"
	// KeyTooLarge: the name of a profile field is longer than 255 bytes.
	KeyTooLarge Code = "M_KEY_TOO_LARGE"
	// LimitExceeded: too many requests in too short a time. Member:
	// retry_after_ms, which clients read although the Retry-After header has
	// replaced it.
	LimitExceeded Code = "M_LIMIT_EXCEEDED"
	// MissingParam: a required parameter is not there.
	MissingParam Code = "M_MISSING_PARAM"
	// MissingParams is how identity servers spell [MissingParam].
	MissingParams Code = "M_MISSING_PARAMS"
	// MissingToken: the request has no access token and needs one.
	MissingToken Code = "M_MISSING_TOKEN"
	// NotFound: what the request names does not exist, or not for this caller.
	NotFound Code = "M_NOT_FOUND"
	// NotJSON: the body is not JSON.
	NotJSON Code = "M_NOT_JSON"
	// NotYetUploaded: the media ID is reserved and its content has not come.
	NotYetUploaded Code = "M_NOT_YET_UPLOADED"
	// NoValidSession: the identity server does not know the validation session.
	NoValidSession Code = "M_NO_VALID_SESSION"
	// ProfileTooLarge: the change would make the profile larger than 64 KiB.
	ProfileTooLarge Code = "M_PROFILE_TOO_LARGE"
	// ResourceLimitExceeded: the server as a whole has reached a limit. Member:
	// admin_contact, required.
	ResourceLimitExceeded Code = "M_RESOURCE_LIMIT_EXCEEDED"
	// RoomInUse: the alias that createRoom was asked for is taken.
	RoomInUse Code = "M_ROOM_IN_USE"
	// SendError: the identity server could not send the text message.
	SendError Code = "M_SEND_ERROR"
	// ServerNotTrusted: the identity server that the request names is not one
	// that this server works with.
	ServerNotTrusted Code = "M_SERVER_NOT_TRUSTED"
	// SessionExpired: the validation session is too old.
	SessionExpired Code = "M_SESSION_EXPIRED"
	// SessionNotValidated: the validation session was never completed.
	SessionNotValidated Code = "M_SESSION_NOT_VALIDATED"
	// TermsNotSigned: the user has to accept the identity server's terms first.
	TermsNotSigned Code = "M_TERMS_NOT_SIGNED"
	// ThreePIDAuthFailed: the proof that a third-party identifier is the
	// user's did not hold.
	ThreePIDAuthFailed Code = "M_THREEPID_AUTH_FAILED"
	// ThreePIDDenied: the server's policy excludes the third-party identifier.
	ThreePIDDenied Code = "M_THREEPID_DENIED"
	// ThreePIDInUse: the third-party identifier is bound to another account.
	// Member, from identity servers: mxid.
	ThreePIDInUse Code = "M_THREEPID_IN_USE"
	// ThreePIDMediumNotSupported: accounts here have no third-party identifiers
	// of this medium.
	ThreePIDMediumNotSupported Code = "M_THREEPID_MEDIUM_NOT_SUPPORTED"
	// ThreePIDNotFound: no account has the third-party identifier.
	ThreePIDNotFound Code = "M_THREEPID_NOT_FOUND"
	// TokenIncorrect: the token that was sent for validation was another one.
	TokenIncorrect Code = "M_TOKEN_INCORRECT"
	// TooLarge: a body, event or upload is larger than allowed. With status 502,
	// for media of another server.
	TooLarge Code = "M_TOO_LARGE"
	// UnableToAuthoriseJoin: this server knows too little to decide on a join to
	// a restricted room; another one may.
	UnableToAuthoriseJoin Code = "M_UNABLE_TO_AUTHORISE_JOIN"
	// UnableToGrantJoin: the join to a restricted room would be right, but no
	// user of this server may invite; another server may have one.
	UnableToGrantJoin Code = "M_UNABLE_TO_GRANT_JOIN"
	// Unauthorized: the request does not prove who sends it, such as one of a
	// server without a valid signature.
	Unauthorized Code = "M_UNAUTHORIZED"
	// Unknown: none of the other codes fits, so that the status alone tells
	// clients what to do.
	Unknown Code = "M_UNKNOWN"
	// UnknownDevice: an application service acts as a device that the user does
	// not have.
	UnknownDevice Code = "M_UNKNOWN_DEVICE"
	// UnknownPos tells a client to begin a new connection of sliding sync. It is of
	// MSC4186, which is merged and not in a release of the specification yet.
	UnknownPos Code = "M_UNKNOWN_POS"
	// UnknownToken: the access or refresh token is not valid, or no longer.
	// Member: soft_logout, true if the client is to keep its data.
	UnknownToken Code = "M_UNKNOWN_TOKEN"
	// Unrecognized: there is no such endpoint or, with status 405, not with this
	// method.
	Unrecognized Code = "M_UNRECOGNIZED"
	// UnsupportedRoomVersion: this server cannot make rooms of that version.
	UnsupportedRoomVersion Code = "M_UNSUPPORTED_ROOM_VERSION"
	// URLNotSet: the application service to ping has no URL.
	URLNotSet Code = "M_URL_NOT_SET"
	// UserDeactivated: the account is closed.
	UserDeactivated Code = "M_USER_DEACTIVATED"
	// UserInUse: the name is taken.
	UserInUse Code = "M_USER_IN_USE"
	// UserLimitExceeded: the account has reached a quota of its own. Members:
	// info_uri, required; can_upgrade, true if the quota can be raised.
	UserLimitExceeded Code = "M_USER_LIMIT_EXCEEDED"
	// UserLocked: the account can do nothing but log out until it is unlocked.
	// Member: soft_logout, always true.
	UserLocked Code = "M_USER_LOCKED"
	// UserSuspended: the account can read and leave, and little more.
	UserSuspended Code = "M_USER_SUSPENDED"
	// WeakPassword: the server's policy refuses the password.
	WeakPassword Code = "M_WEAK_PASSWORD"
	// WrongRoomKeysVersion: the key backup to write to is not the latest.
	// Member: current_version.
	WrongRoomKeysVersion Code = "M_WRONG_ROOM_KEYS_VERSION"
)
