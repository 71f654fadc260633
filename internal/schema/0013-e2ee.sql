-- compatible with v1

-- The devices that have uploaded keys of any kind. device is the position in the
-- journal at which the first came.
CREATE TABLE keyed_devices (
	device      integer NOT NULL PRIMARY KEY, -- only: sqlite
	device      bigint  NOT NULL PRIMARY KEY, -- only: postgres
	user_id     text    NOT NULL,
	device_id   text    NOT NULL,
	keys        bytea            -- its identity keys, as uploaded; NULL: there are none
);
CREATE UNIQUE INDEX keyed_devices_by_name ON keyed_devices (user_id, device_id);

-- One-time keys that were not given out, in the order of place: that is made of
-- the position in the journal at which the key came, and its place in the upload.
CREATE TABLE one_time_keys (
	place       integer NOT NULL PRIMARY KEY, -- only: sqlite
	place       bigint  NOT NULL PRIMARY KEY, -- only: postgres
	device      bigint  NOT NULL,
	algorithm   text    NOT NULL,
	key_id      text    NOT NULL,
	key         bytea   NOT NULL
);
CREATE INDEX one_time_keys_in_order ON one_time_keys (device, algorithm, place);
CREATE UNIQUE INDEX one_time_keys_by_name ON one_time_keys (device, key_id, algorithm);

-- The last keys of each device that were given out, by their digests, so that an
-- upload that is repeated does not bring one back.
CREATE TABLE given_keys (
	device      bigint  NOT NULL,
	digest      bigint  NOT NULL,
	place       bigint  NOT NULL,
	PRIMARY KEY (device, digest)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- What is given out where there are no one-time keys, again and again.
CREATE TABLE fallback_keys (
	device      bigint  NOT NULL,
	algorithm   text    NOT NULL,
	key_id      text    NOT NULL,
	key         bytea   NOT NULL,
	used        boolean NOT NULL,
	PRIMARY KEY (device, algorithm)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- The cross-signing keys of local users, less their signatures.
CREATE TABLE cross_signing_keys (
	user_id     text    NOT NULL,
	usage       text    NOT NULL, -- master, self_signing, user_signing
	public      text    NOT NULL,
	key         bytea   NOT NULL,
	PRIMARY KEY (user_id, usage)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Signatures by keys of local users: of their own keys, and of the master keys of
-- others. pos is the place in the journal of one that only the signer is told of,
-- 0 of others.
CREATE TABLE key_signatures (
	user_id     text    NOT NULL, -- whose key is signed
	target      text    NOT NULL, -- the device, or the public key
	signer      text    NOT NULL,
	key_id      text    NOT NULL, -- with which it is signed
	signature   text    NOT NULL,
	pos         bigint  NOT NULL,
	PRIMARY KEY (user_id, target, signer, key_id)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX key_signatures_by_signer ON key_signatures (signer, pos);

-- Devices that nobody is logged in with, which receive what is sent to the user
-- meanwhile. Those but the one made last are about to be removed.
CREATE TABLE dehydrated_devices (
	user_id     text    NOT NULL,
	device_id   text    NOT NULL,
	made        bigint  NOT NULL, -- grows with each
	data        bytea   NOT NULL,
	PRIMARY KEY (user_id, device_id)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- Backups of the keys of rooms. A version that was deleted stays, so that its
-- number is not given out again.
CREATE TABLE key_backups (
	user_id     text    NOT NULL,
	version     bigint  NOT NULL,
	algorithm   text    NOT NULL,
	auth_data   bytea   NOT NULL,
	etag        bigint  NOT NULL, -- grows with each change of the keys
	keys        bigint  NOT NULL, -- how many there are
	bytes       bigint  NOT NULL, -- and about how large they are together
	deleted     boolean NOT NULL,
	PRIMARY KEY (user_id, version)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- The keys come in the order in which a client has met them, which is not that of the
-- primary key, and are long for a page: see to_device.
CREATE TABLE backup_keys (
	user_id     text    NOT NULL,
	version     bigint  NOT NULL,
	room_id     text    NOT NULL,
	session_id  text    NOT NULL,
	first_index bigint  NOT NULL,
	forwarded   bigint  NOT NULL,
	verified    boolean NOT NULL,
	data        bytea   NOT NULL,
	PRIMARY KEY (user_id, version, room_id, session_id)
);
