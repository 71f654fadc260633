-- compatible with v1

-- Who of an identity provider is which user here.
CREATE TABLE external_ids (
	provider    text    NOT NULL, -- its id in the settings
	subject     text    NOT NULL, -- by which the provider knows somebody
	user_id     text    NOT NULL,
	added       bigint  NOT NULL,
	PRIMARY KEY (provider, subject)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX external_ids_by_user ON external_ids (user_id);

-- Browsers that are at an identity provider, or have come back from there.
CREATE TABLE sso_sessions (
	state       text    NOT NULL PRIMARY KEY,
	browser     bytea   NOT NULL, -- the SHA-256 of what only that browser knows
	provider    text    NOT NULL,
	nonce       text    NOT NULL, -- that the provider has to sign
	verifier    text    NOT NULL, -- by which it knows that it is us who come with the code
	redirect    text    NOT NULL, -- where a client waits; empty if it is for a stage
	session     text    NOT NULL, -- of user-interactive authentication; empty if it is to log in
	identity    bytea   NOT NULL, -- what the provider said, as JSON; empty: the browser is still there
	expires     bigint  NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX sso_sessions_by_time ON sso_sessions (expires);
