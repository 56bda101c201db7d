-- True for a like made with a token; likes of the Flask service and of anonymous requests are not.
-- phase: finish
-- probe: column likes.verified
-- Lock: the table's definition, for an instant.
-- Duration: none per row.
ALTER TABLE likes ADD COLUMN verified BOOLEAN NOT NULL DEFAULT FALSE, ALGORITHM = INSTANT
