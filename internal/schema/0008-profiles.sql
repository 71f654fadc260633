-- compatible with v1

CREATE TABLE profiles (
	user_id     text    NOT NULL PRIMARY KEY,
	fields      bytea   NOT NULL, -- a JSON object: displayname, avatar_url
	changed     bigint  NOT NULL  -- counts the changes
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Whose member events in the rooms they are in are not what the profile says
-- yet.
CREATE TABLE profile_updates (
	user_id     text    NOT NULL PRIMARY KEY,
	changed     bigint  NOT NULL  -- the change that has to be told
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
