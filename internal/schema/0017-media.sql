-- compatible with v1

-- What media there is, of this server and of others. The content lies beside the
-- database, once for all that have it.
CREATE TABLE media (
	server     text   NOT NULL, -- the one it was uploaded to
	media_id   text   NOT NULL,
	user_id    text,            -- who uploaded it here; NULL: nobody
	hash       bytea,           -- the SHA-256 of the content; NULL: it has not come yet
	size       bigint NOT NULL, -- in bytes
	type       text   NOT NULL, -- the content type
	name       text   NOT NULL, -- of the file
	created    bigint NOT NULL, -- milliseconds since 1970, as all times
	used       bigint NOT NULL, -- the last time, roughly
	expires    bigint NOT NULL, -- until when the content has to come; 0: it has
	public     boolean NOT NULL, -- it may be had without an access token
	cached     boolean NOT NULL, -- it can be had again from elsewhere
	protected  boolean NOT NULL, -- it is not put into quarantine with others
	PRIMARY KEY (server, media_id)
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX media_by_user ON media (user_id, created, size) WHERE user_id IS NOT NULL;
CREATE INDEX media_by_hash ON media (hash) WHERE hash IS NOT NULL;
CREATE INDEX media_by_use ON media (used, size) WHERE cached;
CREATE INDEX media_expiring ON media (expires) WHERE expires > 0;

-- Contents that nobody gets, whatever they are called.
CREATE TABLE media_quarantine (
	hash       bytea  NOT NULL PRIMARY KEY,
	user_id    text   NOT NULL, -- the administrator
	since      bigint NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres

-- What pages of the web say of themselves.
CREATE TABLE url_previews (
	url        bytea  NOT NULL PRIMARY KEY, -- its SHA-256
	preview    bytea  NOT NULL, -- JSON
	expires    bigint NOT NULL
) WITHOUT ROWID; -- only: sqlite
); -- only: postgres
CREATE INDEX url_previews_by_time ON url_previews (expires);
