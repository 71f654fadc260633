-- compatible with v1

-- Where users want to be told that something has notified them.
CREATE TABLE pushers (
	user_id     text    NOT NULL,
	app_id      text    NOT NULL,
	pushkey     text    NOT NULL,
	handle      bigint  NOT NULL, -- made of the app_id and the pushkey, see push.handle
	kind        text    NOT NULL, -- http, email, webpush
	app_name    text    NOT NULL,
	device_name text    NOT NULL,
	profile_tag text    NOT NULL,
	lang        text    NOT NULL,
	data        bytea   NOT NULL, -- a JSON object
	enabled     boolean NOT NULL,
	device_id   text    NOT NULL, -- the device that set it, with which it goes; empty: none
	active      boolean NOT NULL, -- false: it is not known yet that what is sent arrives
	token       text    NOT NULL, -- what the device shows that it has arrived by; empty: none is expected
	expires     bigint  NOT NULL, -- until when
	ticket      text    NOT NULL, -- whoever has it can remove the pusher; empty: it is none by mail
	changed     bigint  NOT NULL, -- when it was set so, in milliseconds since 1970
	pos         bigint  NOT NULL, -- of the last change, in the journal: what came before is not for it
	behind      bigint,           -- the position up to which it has got everything; NULL: as far as all others
	PRIMARY KEY (user_id, app_id, pushkey)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX pushers_by_handle ON pushers (handle);
CREATE UNIQUE INDEX pushers_by_ticket ON pushers (ticket) WHERE ticket <> '';
