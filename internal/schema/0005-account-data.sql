-- compatible with v1

-- What clients keep for a user, for all rooms (room_id is empty) or for one.
CREATE TABLE account_data (
	user_id     text    NOT NULL,
	room_id     text    NOT NULL,
	type        text    NOT NULL,
	content     bytea   NOT NULL,
	pos         bigint  NOT NULL, -- of the last change, in the journal
	PRIMARY KEY (user_id, room_id, type)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX account_data_by_pos ON account_data (user_id, pos);

-- What a user set of the push rules; the rules of the server are not stored.
CREATE TABLE push_rules (
	user_id     text    NOT NULL PRIMARY KEY,
	settings    bytea   NOT NULL,
	pos         bigint  NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Filters are numbered per user. The same filter has one number.
CREATE TABLE filters (
	user_id     text    NOT NULL,
	filter      bigint  NOT NULL,
	definition  bytea   NOT NULL,
	hash        bytea   NOT NULL,
	PRIMARY KEY (user_id, filter)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE UNIQUE INDEX filters_by_hash ON filters (user_id, hash);
