-- compatible with v1

-- What a device has sent, by the transaction ID it chose, so that a repeated
-- request is not sent twice.
CREATE TABLE transactions (
	user_id    text   NOT NULL,
	device_id  text   NOT NULL,
	txn_id     text   NOT NULL,
	room       bigint NOT NULL,
	event_id   text   NOT NULL,
	sent       bigint NOT NULL, -- milliseconds since 1970
	PRIMARY KEY (user_id, device_id, txn_id, room)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX transactions_by_time ON transactions (sent);
