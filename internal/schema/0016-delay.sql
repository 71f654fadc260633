-- compatible with v1

-- Events that are to be sent later, and for a while what became of them.
CREATE TABLE delayed_events (
	delay_id   text   NOT NULL PRIMARY KEY,
	user_id    text   NOT NULL,
	device_id  text   NOT NULL, -- that has scheduled it
	txn_id     text,            -- the transaction ID that it chose; NULL: none
	room_id    text   NOT NULL,
	type       text   NOT NULL,
	is_state   boolean NOT NULL,
	state_key  text   NOT NULL,
	content    bytea  NOT NULL,
	sticky     bigint NOT NULL, -- for how many milliseconds it is to be sticky; 0: it is not
	ts         bigint NOT NULL, -- when it is said to have been sent; 0: when it is
	delay      bigint NOT NULL, -- milliseconds
	begun      bigint NOT NULL, -- milliseconds since 1970, as all times
	due        bigint NOT NULL,
	finalised  bigint,          -- NULL: it is scheduled
	event_id   text,            -- NULL: it was not sent
	error      bytea            -- NULL: no error has cancelled it
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX delayed_events_due ON delayed_events (due, room_id) WHERE finalised IS NULL;
CREATE INDEX delayed_events_by_room ON delayed_events (room_id, due) WHERE finalised IS NULL;
CREATE INDEX delayed_events_by_user ON delayed_events (user_id, due);
CREATE INDEX delayed_events_by_end ON delayed_events (finalised) WHERE finalised IS NOT NULL;
CREATE UNIQUE INDEX delayed_events_by_request ON delayed_events (user_id, device_id, room_id, type, txn_id) WHERE txn_id IS NOT NULL;
