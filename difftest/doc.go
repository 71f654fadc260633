// Package difftest has only tests: they hold package matrix and everything
// below it against gomatrixserverlib, the library of the Dendrite server, and
// against a slow transcription of the specification's text. It is a module of
// its own so that parley itself depends on neither.
//
// What is compared, each on random input that a seed and an index determine:
//
//   - TestEvents: parsing, canonical JSON, event IDs, content hashes,
//     redaction, signatures and authorization of events in all room versions,
//     most of them damaged in some way.
//   - TestAuth: authorization in room states full of odd values.
//   - TestStateResolution: the resolved state of forked rooms. The judge is the
//     transcription in naive_test.go, with which parley must agree always.
//
// Where parley and gomatrixserverlib differ, an explanation must cover the
// difference and cite the sentence of the specification that decides. An
// explanation asks for one particular feature of the input; those of state
// resolution go further, they are switches in the transcription which make it
// err as gomatrixserverlib does, and must then give the very same state. A
// difference without an explanation fails, and so does, at full counts and with
// the usual seed, an explanation that nothing needs any more.
//
// The benchmarks measure the same work on the same input in both libraries.
//
// Environment variables scale the tests: DIFFTEST_EVENTS (200000 by default),
// DIFFTEST_ROOMS (20000) and DIFFTEST_SEED (1).
package difftest
