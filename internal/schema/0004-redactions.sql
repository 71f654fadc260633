-- compatible with v1

-- The first redaction of an event that applied, if there is one. The event's own
-- row keeps its content, which state and authorization go on using; who reads it
-- gets the redacted form.
ALTER TABLE events ADD COLUMN redacted_by bigint;
