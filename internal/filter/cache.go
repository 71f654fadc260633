package filter

import "parley/matrix/id"

// A key names a filter: one that a user has uploaded by its number, or any by its
// text, for no user.
type key struct {
	user id.UserID
	text string
}

// A kept filter knows how long the text was that it was made of.
type kept[F any] struct {
	filter F
	length int
}

// weight is how many bytes it takes with its key, roughly. A compiled list takes
// several times what its text did, if its entries are short.
func (k kept[F]) weight() int { return 1024 + 9*k.length }
