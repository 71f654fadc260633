// Package textindex finds texts by parts of them, in any script, on both databases.
//
// A text is cut into grams: runs of three letters of a word, the first one and two
// letters of each word, and, of scripts that put no spaces between words, single
// characters and pairs. For each gram a list says which texts have it; what has all
// grams of what is looked for is a candidate. A candidate need not match: whoever
// has the text asks [Term.In].
//
// # What is found
//
// Case, accents, width and other forms of one character do not count, see [Fold].
// A term of three letters and more is found anywhere, one of one or two letters
// where a word begins with it, and Chinese, Japanese, Korean, Thai and the like, and
// symbols, anywhere, whatever their number. Of a long text only the beginning is
// searched, see [MaxText].
//
// # How it is stored
//
// Texts are numbered as they come. New ones are kept as they are, in the tail, and are
// looked through. As soon as there are enough for a block, the lists of the block are
// written, and the texts go: an index takes much less room than what it is of. So a
// text costs one row at once, and a part of a row for each of its grams later.
//
// What is removed is not found from that moment on. That its number is taken out of
// the lists, so that nothing tells any more what it said, is done by [Index.Tidy].
//
// An index belongs to one writer at a time. Readers need not be told of that.
package textindex
