-- compatible with v1

-- The mail addresses and telephone numbers of accounts, in the form in which they
-- are compared.
CREATE TABLE threepids (
	medium      text    NOT NULL, -- email or msisdn
	address     text    NOT NULL,
	user_id     text    NOT NULL,
	validated   bigint  NOT NULL, -- when it was shown to be the user's, or an administrator said so
	added       bigint  NOT NULL,
	PRIMARY KEY (medium, address)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX threepids_by_user ON threepids (user_id);

-- At which identity servers addresses were bound to users through this server.
CREATE TABLE threepid_bindings (
	user_id     text    NOT NULL,
	medium      text    NOT NULL,
	address     text    NOT NULL,
	id_server   text    NOT NULL,
	PRIMARY KEY (user_id, medium, address, id_server)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Addresses that somebody wants to show to be theirs, or has.
CREATE TABLE validations (
	sid         text    NOT NULL PRIMARY KEY,
	operation   text    NOT NULL, -- what it is for: it is good for nothing else
	medium      text    NOT NULL,
	address     text    NOT NULL,
	secret      bytea   NOT NULL, -- the SHA-256 of the client's secret
	token       text    NOT NULL, -- what only who has the address gets to see
	attempt     bigint  NOT NULL, -- the number of the client's last request to send it
	due         boolean NOT NULL, -- it is still to be sent for that
	sent        bigint  NOT NULL, -- how often that was asked for
	asked       bigint  NOT NULL, -- when it was the last time
	tries       bigint  NOT NULL, -- how many tokens were tried
	next_link   text    NOT NULL, -- where who has validated it goes on; empty: nowhere
	validated   bigint  NOT NULL, -- when; 0: not yet
	expires     bigint  NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE UNIQUE INDEX validations_by_secret ON validations (medium, address, operation, secret);
CREATE INDEX validations_by_time ON validations (expires);
CREATE INDEX validations_due ON validations (sid) WHERE due;
