-- compatible with v1

-- The threads that users have subscribed to, or had.
CREATE TABLE thread_subscriptions (
	user_id     text    NOT NULL,
	room_id     text    NOT NULL,
	root        text    NOT NULL, -- the first event of the thread
	subscribed  boolean NOT NULL,
	automatic   boolean NOT NULL, -- a client has done it, and not the user
	pos         bigint  NOT NULL, -- of the last change, in the journal
	PRIMARY KEY (user_id, room_id, root)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX thread_subscriptions_by_pos ON thread_subscriptions (user_id, pos);
