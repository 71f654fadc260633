// Package subscription keeps which threads users want to hear of:
// https://github.com/matrix-org/matrix-spec-proposals/pull/4306
//
// A user subscribes to a thread, or a client does because the user was mentioned in
// it: automatically, which names the event that was the cause. Who has unsubscribed
// is not subscribed automatically again because of an event of before: that is
// decided by the positions of the event and of the unsubscription in the journal, so
// it does not depend on clocks, and a device that comes back late changes nothing.
//
// Each change has an entry of the journal and its position, by which clients are told
// of it ([Store.Since]); what is unsubscribed is remembered for that.
// https://github.com/matrix-org/matrix-spec-proposals/pull/4308
//
// Whether there is such a thread, and the user may see it, is for callers to find
// out.
package subscription
