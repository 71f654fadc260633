-- compatible with v1

-- The one row that every append locks: positions are given out under this
-- lock, so they are contiguous and become visible in order.
CREATE TABLE journal_head (
	one    bigint NOT NULL PRIMARY KEY CHECK (one = 1),
	pos    bigint NOT NULL, -- the last position given out
	floor  bigint NOT NULL, -- entries up to here may be gone
	epoch  text   NOT NULL  -- changes when positions start anew, as after a restore
);

-- What happened, in the order in which everybody sees it. It holds no content:
-- ref is a key into the table that belongs to kind.
CREATE TABLE journal (
	pos    integer NOT NULL PRIMARY KEY, -- only: sqlite
	pos    bigint NOT NULL PRIMARY KEY, -- only: postgres
	scope  bigint NOT NULL, -- whom it may concern
	kind   bigint NOT NULL,
	ref    bigint NOT NULL
);
CREATE INDEX journal_by_scope ON journal (scope, pos);

-- Where the journal was at some times, so that it can be trimmed by age.
CREATE TABLE journal_times (
	pos    bigint NOT NULL PRIMARY KEY,
	at     bigint NOT NULL -- milliseconds since 1970
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- How far each consumer has come.
CREATE TABLE journal_cursors (
	name   text   NOT NULL PRIMARY KEY,
	pos    bigint NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
