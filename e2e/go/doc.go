// Package e2e has scenes that clients play against a running server: real
// processes of parley, spoken to through mautrix-go, as bots and bridges speak
// to it. It has only tests, and is a module of its own so that nothing in
// parley depends on what it depends on. The scenes in ../js are the same
// through matrix-js-sdk, as web clients speak.
//
//	go test -tags goolm ./...
//
// starts the binary that PARLEY_E2E_BINARY names, or ../../bin/parley, and ends
// it afterwards; it has to end well. With PARLEY_E2E_URL no server is started
// and the scenes are played against the one at that address, which may be
// another implementation. It has to let everybody register, or those who know
// the token in PARLEY_E2E_REGISTRATION_TOKEN, and must not limit rates.
//
// The tag goolm lets mautrix do without a C library; nothing here encrypts.
//
// # The law
//
// What a device has made of its syncs is what the server says when it is asked.
// Each scene ends with it: [device.agrees] holds the state, the members, the
// power levels, the timeline, the receipts, the unread counts and the account
// data that the SDK and its callbacks arrived at, against plain GETs of /state,
// /members and /messages and a plain /sync from the beginning.
//
// Nothing in here sleeps. A scene waits for a condition, until a deadline.
package e2e
