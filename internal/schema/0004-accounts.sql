-- compatible with v1

CREATE TABLE accounts (
	user_id     text    NOT NULL PRIMARY KEY,
	password    text    NOT NULL, -- argon2id in the PHC format; empty: none will do
	admin       boolean NOT NULL,
	guest       boolean NOT NULL,
	locked      boolean NOT NULL,
	suspended   boolean NOT NULL,
	deactivated boolean NOT NULL,
	erased      boolean NOT NULL, -- the user wanted to be forgotten
	departing   boolean NOT NULL, -- it is deactivated, and there is still to be done what that means elsewhere
	created     bigint  NOT NULL  -- milliseconds since 1970, as all times
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

CREATE INDEX accounts_departing ON accounts (user_id) WHERE departing;
CREATE INDEX accounts_guests ON accounts (user_id) WHERE guest AND NOT deactivated;

CREATE TABLE devices (
	user_id     text    NOT NULL,
	device_id   text    NOT NULL,
	name        text    NOT NULL, -- empty: none
	seen        bigint  NOT NULL, -- when it was last heard of
	seen_ip     text    NOT NULL,
	seen_agent  text    NOT NULL, -- how the client calls itself
	created     bigint  NOT NULL,
	leaving     boolean NOT NULL, -- it has lost its tokens, and is still to be removed
	PRIMARY KEY (user_id, device_id)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

CREATE INDEX devices_leaving ON devices (user_id) WHERE leaving;

-- Tokens are stored as their SHA-256 only.
CREATE TABLE access_tokens (
	token       bytea   NOT NULL PRIMARY KEY,
	user_id     text    NOT NULL,
	device_id   text    NOT NULL,
	refresh     bytea,            -- the refresh token that it was given out with; NULL: none
	created     bigint  NOT NULL,
	expires     bigint            -- NULL: never
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX access_tokens_by_device ON access_tokens (user_id, device_id);

-- A device has one refresh token that is in use, the one before it, and those
-- that it was refreshed with and that nobody has used yet.
CREATE TABLE refresh_tokens (
	token       bytea   NOT NULL PRIMARY KEY,
	user_id     text    NOT NULL,
	device_id   text    NOT NULL,
	state       bigint  NOT NULL, -- 0: new, 1: in use, 2: spent
	created     bigint  NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX refresh_tokens_by_device ON refresh_tokens (user_id, device_id);

-- Tokens that are good for one thing and for a short time.
CREATE TABLE tickets (
	token       bytea   NOT NULL PRIMARY KEY,
	kind        text    NOT NULL,
	user_id     text    NOT NULL,
	expires     bigint  NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX tickets_by_user ON tickets (user_id);
CREATE INDEX tickets_by_time ON tickets (expires);

CREATE TABLE registration_tokens (
	token       text    NOT NULL PRIMARY KEY,
	admin       boolean NOT NULL, -- it makes administrators
	founder     boolean NOT NULL, -- it makes the first account, and nothing once there is one
	uses        bigint,           -- how often it may be used; NULL: any number of times
	used        bigint  NOT NULL,
	expires     bigint,           -- NULL: never
	created     bigint  NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE UNIQUE INDEX registration_tokens_founder ON registration_tokens (founder) WHERE founder;

-- User-interactive authentication that is under way.
CREATE TABLE auth_sessions (
	session     text    NOT NULL PRIMARY KEY,
	operation   text    NOT NULL, -- what it authorises: it is good for nothing else
	user_id     text    NOT NULL, -- who does it; empty while there is no account
	request     bytea   NOT NULL, -- the body that it was begun with, without passwords
	password    text    NOT NULL, -- the hash of the new password that was in the body, if any
	flows       text    NOT NULL, -- what the client may choose from, a line for each
	completed   text    NOT NULL, -- the stages that are done, separated by spaces
	token       text    NOT NULL, -- the registration token that was shown, if any
	proofs      text    NOT NULL, -- the validations of addresses that were shown, separated by spaces
	terms       text    NOT NULL, -- the policies that were shown, as policy=version separated by spaces
	created     bigint  NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX auth_sessions_by_time ON auth_sessions (created);

-- Which policies who has accepted.
CREATE TABLE accepted_terms (
	user_id     text    NOT NULL,
	policy      text    NOT NULL,
	version     text    NOT NULL,
	accepted    bigint  NOT NULL, -- when
	PRIMARY KEY (user_id, policy, version)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
