// Package interop has the scenes that parley plays with a server that others
// wrote: a process of parley and one of Synapse, which federate over TLS on the
// loopback interface under an authority made for the run.
//
// Both servers know the scenes by the client-server API alone. Each scene is
// played in both directions, and ends with the law that the suite is for: the
// two servers say the same of the state of the room.
//
// `make interop` installs Synapse and says where the programs are, by
// PARLEY_INTEROP_BINARY (parley) and PARLEY_INTEROP_PYTHON (the Python that has
// Synapse). What the servers logged and stored is left in PARLEY_INTEROP_DIR.
package interop
