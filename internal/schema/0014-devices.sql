-- compatible with v1

-- Messages to devices of local users that the devices have not acknowledged.
-- Those for many devices stand side by side, and only the key by device: in a table
-- without row IDs each would take two pages of its own, as it is long for one.
CREATE TABLE to_device (
	user_id    text   NOT NULL,
	device_id  text   NOT NULL,
	pos        bigint NOT NULL, -- in the journal
	message    bytea  NOT NULL, -- as the client gets it
	PRIMARY KEY (user_id, device_id, pos)
);

-- Messages to devices of users of other servers, as EDUs, until the server has
-- taken them.
CREATE TABLE to_device_abroad (
	server     text   NOT NULL,
	pos        bigint NOT NULL, -- in the journal
	part       bigint NOT NULL, -- what is too much for one EDU has several
	edu        bytea  NOT NULL,
	PRIMARY KEY (server, pos, part)
);
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

-- When what is known of a user's devices and keys changed last.
CREATE TABLE device_lists (
	user_id    text   NOT NULL PRIMARY KEY,
	pos        bigint NOT NULL, -- in the journal
	stream     bigint NOT NULL  -- of the last change of a local user that other servers were told of; 0: none
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX device_lists_by_pos ON device_lists (pos);

-- What other servers were told last of each device of a local user, and of the
-- user's keys (device_id is empty).
CREATE TABLE device_updates (
	user_id    text   NOT NULL,
	device_id  text   NOT NULL,
	pos        bigint NOT NULL, -- of the change, in the journal; 0: they find it out by what comes behind it
	stream     bigint NOT NULL, -- its number among the changes of the user's devices
	deleted    boolean NOT NULL,
	hash       bytea  NOT NULL, -- of what the device is, without the numbers of changes
	edu        bytea  NOT NULL,
	changed    bigint NOT NULL, -- milliseconds since 1970, as all times
	PRIMARY KEY (user_id, device_id)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX device_updates_by_pos ON device_updates (pos);

-- What is known of the devices of users of other servers who share a room with
-- one of this.
CREATE TABLE remote_lists (
	user_id    text   NOT NULL PRIMARY KEY,
	stream     bigint NOT NULL, -- the last change that is in it
	pos        bigint NOT NULL, -- of the journal, at which it was right
	stale      boolean NOT NULL, -- it has to be fetched anew
	master     bytea,           -- NULL: the user has no such key
	self       bytea            -- likewise
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX remote_lists_stale ON remote_lists (user_id) WHERE stale;

CREATE TABLE remote_devices (
	user_id    text   NOT NULL,
	device_id  text   NOT NULL,
	device     bytea  NOT NULL, -- an object, with device_display_name and keys as far as there are such
	PRIMARY KEY (user_id, device_id)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
