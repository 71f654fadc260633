-- compatible with v1

CREATE TABLE aliases (
	alias       text    NOT NULL PRIMARY KEY,
	room_id     text    NOT NULL,
	creator     text    NOT NULL,
	created     bigint  NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX aliases_by_room ON aliases (room_id);
