// Package gateway is a push gateway: it passes on what a homeserver wants a device to
// be told, to the service that reaches the device.
// https://spec.matrix.org/v1.19/push-gateway-api/
//
// Which service that is follows from the device:
//
//   - An app whose app_id is in the settings, with credentials, is reached through
//     APNs of Apple or FCM of Google.
//   - A device with an endpoint and an auth in its data is a subscription to Web
//     Push; its pushkey is its public key. What is sent is encrypted for it
//     (RFC 8291), and signed with the key of this server (VAPID, RFC 8292).
//   - Otherwise a pushkey that is a URL is an endpoint of UnifiedPush, such as ntfy
//     gives out. Before something is sent there it is asked whether it is one, so
//     that nobody can have requests sent to just anything.
//   - All others are rejected.
//
// A pushkey is rejected, too, when the service says that it is not known any more.
// Everything else that goes wrong is an error, and is to be tried again. Requests go
// through package remote, which refuses addresses of the network, follow no redirect,
// and are bounded in time and, by host and altogether, in number.
package gateway
