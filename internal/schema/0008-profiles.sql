-- compatible with v1

CREATE TABLE profiles (
	user_id     text    NOT NULL PRIMARY KEY,
	changed     bigint  NOT NULL, -- counts the changes
	size        bigint  NOT NULL  -- of its fields, in bytes
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

CREATE TABLE profile_fields (
	user_id     text    NOT NULL,
	field       text    NOT NULL, -- displayname, avatar_url, m.tz
	value       bytea,            -- JSON; NULL: it was removed
	pos         bigint  NOT NULL, -- of the last change, in the journal; 0: it came with the account
	PRIMARY KEY (user_id, field)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX profile_fields_by_pos ON profile_fields (pos);
CREATE INDEX profile_fields_by_field ON profile_fields (field, user_id) WHERE value IS NOT NULL;

-- Whose member events in the rooms they are in are not what the profile says
-- yet.
CREATE TABLE profile_updates (
	user_id     text    NOT NULL PRIMARY KEY,
	changed     bigint  NOT NULL  -- the change that has to be told
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
