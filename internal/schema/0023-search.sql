-- compatible with v1

-- Indexes of texts, each a book, see package textindex. A text has a number, and
-- belongs to a block of so many numbers.
CREATE TABLE text_books (
	book       bigint NOT NULL PRIMARY KEY,
	last       bigint NOT NULL -- the last number that was given out
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Texts that are in no list yet.
CREATE TABLE text_tail (
	book       bigint NOT NULL,
	doc        bigint NOT NULL,
	tag        bigint NOT NULL, -- to which of a few things it belongs
	rank       bigint NOT NULL, -- the greater ones are wanted first
	text       text   NOT NULL, -- as it is compared
	PRIMARY KEY (book, doc)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Blocks whose lists are written.
CREATE TABLE text_blocks (
	book       bigint NOT NULL,
	block      bigint NOT NULL,
	least      bigint NOT NULL, -- the least rank of its texts
	most       bigint NOT NULL, -- the greatest
	PRIMARY KEY (book, block)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Which texts of a block have a gram: lists of several grams together, since a row takes
-- more room than most lists.
CREATE TABLE text_lists (
	book       bigint NOT NULL,
	block      bigint NOT NULL,
	page       bigint NOT NULL,
	lists      bytea  NOT NULL,
	PRIMARY KEY (book, block, page)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Texts that are gone, and still in lists.
CREATE TABLE text_gone (
	book       bigint NOT NULL,
	doc        bigint NOT NULL,
	PRIMARY KEY (book, doc)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Events of which there is a text in the index of messages.
CREATE TABLE search_docs (
	doc        integer NOT NULL PRIMARY KEY, -- only: sqlite
	doc        bigint NOT NULL PRIMARY KEY, -- only: postgres
	event      bigint NOT NULL,
	edit       bigint,          -- the event whose text it is, if that has replaced it
	room       bigint NOT NULL,
	place      bigint NOT NULL, -- in the room's own order
	ts         bigint NOT NULL  -- when it was sent, in milliseconds since 1970
);
CREATE UNIQUE INDEX search_docs_by_event ON search_docs (event);

-- Which events that were there before the index began are still to be put into it.
CREATE TABLE search_fill (
	one        bigint NOT NULL PRIMARY KEY CHECK (one = 1),
	next       bigint NOT NULL, -- the number of the last event that is done
	last       bigint NOT NULL  -- and of the last that is to be
);

-- Users whom others can find.
CREATE TABLE directory_users (
	user_id    text   NOT NULL PRIMARY KEY,
	doc        bigint NOT NULL, -- in the index of users
	words      text   NOT NULL  -- what is in it
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE UNIQUE INDEX directory_users_by_doc ON directory_users (doc);

-- Users of this server of whom something has changed.
CREATE TABLE directory_notes (
	user_id    text   NOT NULL PRIMARY KEY,
	changes    bigint NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Which users that were there before the directory it has.
CREATE TABLE directory_fill (
	one        bigint  NOT NULL PRIMARY KEY CHECK (one = 1),
	after      text    NOT NULL, -- up to which user
	locals     boolean NOT NULL, -- of this server; users of others come first
	done       boolean NOT NULL
);
