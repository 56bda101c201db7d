-- Raised by every edit of a post; writers name the one they saw (If-Match).
-- phase: finish
-- probe: column posts.version
-- Lock: the table's definition, for an instant.
-- Duration: none per row.
ALTER TABLE posts ADD COLUMN version INT NOT NULL DEFAULT 1, ALGORITHM = INSTANT
