-- compatible with v1

-- What users think that the administrators should look at.
CREATE TABLE reports (
	report     integer PRIMARY KEY AUTOINCREMENT, -- only: sqlite
	report     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- only: postgres
	kind       bigint NOT NULL, -- an event, a room or a user
	reporter   text   NOT NULL,
	room_id    text   NOT NULL, -- of an event or a room
	event_id   text   NOT NULL, -- of an event
	user_id    text   NOT NULL, -- the user, or the sender of the event
	reason     text   NOT NULL,
	received   bigint NOT NULL
);
CREATE INDEX reports_by_kind ON reports (kind, report);
