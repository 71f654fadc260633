// Package mail sends letters to mail addresses through the SMTP server of the
// operator.
//
// A letter is put together of parts, each of which is shown as text and as HTML,
// so that both say the same and nobody has to think of escapes: whatever a part is
// made of is text, and can be from strangers. It has one recipient.
//
// What goes into a header is checked or made here, so that nothing that others
// write can become a header of its own, and there are never more connections than
// [Options] say: a server that does not answer costs as many goroutines as wait to
// send, and no more. Errors name the server and the domain of the recipient: who
// gets mail is nobody's business who reads a log.
package mail
