// Package appservice is the application services of a server: bridges and bots that
// act for users of their own, and are told of what concerns these.
// https://spec.matrix.org/v1.19/application-service-api/
//
// # Registrations
//
// A [Set] is the services that are registered, read from files by [Load]. A set is
// whole: of two services neither may have what the other has for itself, and if
// something is wrong with one file there is no set. [Services] has the set of the
// moment, and takes over another one by [Services.Reload]; when that is not to be
// had everything stays as it was.
//
// # Transactions
//
// Each service has a worker with a cursor of its own in the journal. What concerns the
// service is put into a transaction, in the order of the journal. Before it is sent, it
// is stored together with the position up to which the journal is in it: so it is
// the same, under the same ID, however often it has to be sent, and nothing comes
// twice or never when the server ends in between. Beside it a service that does not
// answer has nothing in memory but who types and who is online, of each the last word
// and not more than mostNews; what happens meanwhile it is told from the journal when
// it is back. Others do not wait for it.
//
// Which events concern a service depends on who was in the room just before the
// event, whenever it is asked: see interest.
//
// A cursor keeps the journal from being trimmed. That of a service which is not
// registered any more goes after a week, so that a file that is lost for an hour costs
// nothing.
package appservice
