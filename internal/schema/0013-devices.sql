-- compatible with v1

-- Messages to devices of local users that the devices have not acknowledged.
CREATE TABLE to_device (
	user_id    text   NOT NULL,
	device_id  text   NOT NULL,
	pos        bigint NOT NULL, -- in the journal
	message    bytea  NOT NULL, -- as the client gets it
	PRIMARY KEY (user_id, device_id, pos)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Messages to devices of users of other servers, as EDUs, until the server has
-- taken them.
CREATE TABLE to_device_abroad (
	server     text   NOT NULL,
	pos        bigint NOT NULL, -- in the journal
	part       bigint NOT NULL, -- what is too much for one EDU has several
	edu        bytea  NOT NULL,
	PRIMARY KEY (server, pos, part)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX to_device_abroad_by_pos ON to_device_abroad (pos);

-- What devices have sent to others, by the transaction ID they chose, so that a
-- repeated request is not sent twice.
CREATE TABLE to_device_transactions (
	user_id    text   NOT NULL,
	device_id  text   NOT NULL,
	type       text   NOT NULL,
	txn_id     text   NOT NULL,
	sent       bigint NOT NULL, -- milliseconds since 1970, as all times
	PRIMARY KEY (user_id, device_id, type, txn_id)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX to_device_transactions_by_time ON to_device_transactions (sent);

-- The messages of other servers that have come, by the IDs they chose.
CREATE TABLE to_device_received (
	server     text   NOT NULL,
	message_id bytea  NOT NULL, -- its SHA-256
	received   bigint NOT NULL,
	PRIMARY KEY (server, message_id)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX to_device_received_by_time ON to_device_received (received);
