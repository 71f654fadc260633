package mxerr

import (
	"iter"
	"slices"
	"strings"
)

// An entry is a code and its usual status.
type entry struct {
	code   Code
	status int
}

// usual is sorted by code. Where the specification names no status, or leaves it
// open, this is why:
//
//   - [Unknown] is 500, since a refusal that has a reason has a better code.
//     Endpoints that define it with another status say so with WithStatus.
//   - [UserLimitExceeded] depends on the endpoint; 403 is what
//     [ResourceLimitExceeded], the same for the whole server, has.
//   - [BadState], [GuestAccessForbidden] and [CannotLeaveServerNoticeRoom] are
//     403: they refuse a well-formed request because of how things are.
//   - [CaptchaInvalid] and [CaptchaNeeded] are 401: they are answers within
//     user-interactive authentication.
//   - [MissingParams] and [WeakPassword] are 400 like their neighbours.
var usual = [...]entry{
	{AppserviceLoginUnsupported, 400},
	{BadAlias, 400},
	{BadJSON, 400},
	{BadState, 403},
	{BadStatus, 502},
	{CannotLeaveServerNoticeRoom, 403},
	{CannotOverwriteMedia, 409},
	{CaptchaInvalid, 401},
	{CaptchaNeeded, 401},
	{ConnectionFailed, 502},
	{ConnectionTimeout, 504},
	{DestinationRejected, 400},
	{DuplicateAnnotation, 400},
	{EmailSendError, 400},
	{Exclusive, 400},
	{Forbidden, 403},
	{GuestAccessForbidden, 403},
	{IncompatibleRoomVersion, 400},
	{InvalidAddress, 400},
	{InvalidEmail, 400},
	{InvalidParam, 400},
	{InvalidPepper, 400},
	{InvalidRoomState, 400},
	{InvalidSignature, 400},
	{InvalidUsername, 400},
	{InviteBlocked, 403},
	{KeyTooLarge, 400},
	{LimitExceeded, 429},
	{MissingParam, 400},
	{MissingParams, 400},
	{MissingToken, 401},
	{NotFound, 404},
	{NotJSON, 400},
	{NotYetUploaded, 504},
	{NoValidSession, 404},
	{ProfileTooLarge, 400},
	{ResourceLimitExceeded, 403},
	{RoomInUse, 400},
	{SendError, 400},
	{ServerNotTrusted, 400},
	{SessionExpired, 400},
	{SessionNotValidated, 400},
	{TermsNotSigned, 403},
	{ThreePIDAuthFailed, 403},
	{ThreePIDDenied, 403},
	{ThreePIDInUse, 400},
	{ThreePIDMediumNotSupported, 400},
	{ThreePIDNotFound, 400},
	{TokenIncorrect, 400},
	{TooLarge, 413},
	{UnableToAuthoriseJoin, 400},
	{UnableToGrantJoin, 400},
	{Unauthorized, 401},
	{Unknown, 500},
	{UnknownDevice, 400},
	{UnknownPos, 400},
	{UnknownToken, 401},
	{Unrecognized, 404},
	{UnsupportedRoomVersion, 400},
	{URLNotSet, 400},
	{UserDeactivated, 403},
	{UserInUse, 400},
	{UserLimitExceeded, 403},
	{UserLocked, 401},
	{UserSuspended, 403},
	{WeakPassword, 400},
	{WrongRoomKeysVersion, 403},
}

func find(c Code) (index int, ok bool) {
	return slices.BinarySearchFunc(usual[:], c, func(e entry, c Code) int {
		return strings.Compare(string(e.code), string(c))
	})
}

// Known reports whether the specification defines the code.
func (c Code) Known() bool {
	_, ok := find(c)
	return ok
}

// Status returns the HTTP status that usually goes with the code: 400 for codes
// outside of the specification. Some endpoints use another one.
func (c Code) Status() int {
	i, ok := find(c)
	if !ok {
		return 400
	}
	return usual[i].status
}

// Codes yields every code of the specification with its usual status, in the
// order of the codes' text.
func Codes() iter.Seq2[Code, int] {
	return func(yield func(Code, int) bool) {
		for _, e := range usual {
			if !yield(e.code, e.status) {
				return
			}
		}
	}
}

// Error returns the code itself.
func (c Code) Error() string { return string(c) }

// As makes a bare code that was returned as an error answer as the [*Error] that
// [New] would have made, instead of as a fault of this server.
func (c Code) As(target any) bool {
	e, ok := target.(**Error)
	if ok {
		*e = New(c, "%s", string(c))
	}
	return ok
}
