package csapi

import "parley/internal/endpoint"

// The classes of endpoints that share a rate limit.
const (
	classAuth endpoint.Class = "auth" // tries passwords or tokens
	// classRefresh tries tokens that cannot be guessed. Its callers are known by
	// their address only, and a whole house of them may have one.
	classRefresh    endpoint.Class = "refresh"
	classLoginToken endpoint.Class = "login token" // lets somebody in
	classSend       endpoint.Class = "send"        // makes an event in a room
	classCreate     endpoint.Class = "create"      // makes something that stays: a room, an alias, a filter
	classWrite      endpoint.Class = "write"       // changes something small: a receipt, account data
	classRead       endpoint.Class = "read"        // may cost a lot to answer: history, directories
	classSearch     endpoint.Class = "search"      // looks through all that there is
	classFindUsers  endpoint.Class = "find users"  // asks with each letter that somebody types
	classMeet       endpoint.Class = "meet"        // begins a session between devices that are logging in
	classRendezvous endpoint.Class = "rendezvous"  // reads and writes there, again and again
	classReport     endpoint.Class = "report"      // tells the administrators of something
	classUpload     endpoint.Class = "upload"      // brings a file
	classPreview    endpoint.Class = "preview"     // has a page of the web asked for
	classNotify     endpoint.Class = "notify"      // has a device told something
	classMedia      endpoint.Class = "media"       // gets a file, and a room shows many
	classValidation endpoint.Class = "validation"  // has something sent to an address
	classIdentity   endpoint.Class = "identity"    // has an identity server asked
)

// Limits are the rate limits by default, per user or, without one, per address.
// They are meant to be met by programs that went wrong and by people who want to
// do harm, never by a person with a client.
func Limits() map[endpoint.Class]endpoint.Limit {
	return map[endpoint.Class]endpoint.Limit{
		classAuth:       {PerSecond: 0.5, Burst: 20},
		classRefresh:    {PerSecond: 5, Burst: 50},
		classLoginToken: {PerSecond: 1.0 / 60, Burst: 10},
		classSend:       {PerSecond: 10, Burst: 100},
		classCreate:     {PerSecond: 0.5, Burst: 30},
		classWrite:      {PerSecond: 20, Burst: 200},
		classRead:       {PerSecond: 20, Burst: 200},
		classSearch:     {PerSecond: 2, Burst: 50},
		classFindUsers:  {PerSecond: 10, Burst: 100},
		classMeet:       {PerSecond: 0.2, Burst: 20},
		classRendezvous: {PerSecond: 10, Burst: 100},
		classReport:     {PerSecond: 0.1, Burst: 20},
		classUpload:     {PerSecond: 2, Burst: 100},
		classPreview:    {PerSecond: 1, Burst: 60},
		classNotify:     {PerSecond: 50, Burst: 1000},
		classMedia:      {PerSecond: 50, Burst: 1000},
		classValidation: {PerSecond: 1.0 / 60, Burst: 10},
		classIdentity:   {PerSecond: 0.1, Burst: 20},
	}
}
