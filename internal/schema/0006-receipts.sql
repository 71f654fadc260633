-- compatible with v1

-- Up to where users have read, by their word.
CREATE TABLE receipts (
	room        bigint  NOT NULL,
	user_id     text    NOT NULL,
	type        text    NOT NULL, -- m.read, m.read.private
	thread      text    NOT NULL, -- main or the root event of a thread; empty: unthreaded
	event_id    text    NOT NULL,
	ts          bigint  NOT NULL,
	place       bigint  NOT NULL, -- of the event in the room's own order
	unread      bigint  NOT NULL, -- of the event, as in events; of the thread, if it is one
	loud        bigint  NOT NULL,
	threaded_unread bigint NOT NULL,
	threaded_loud   bigint NOT NULL,
	pos         bigint  NOT NULL, -- of the last change, in the journal
	PRIMARY KEY (room, user_id, type, thread)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX receipts_by_pos ON receipts (room, pos);
CREATE INDEX receipts_by_user ON receipts (user_id, room);
