-- Raised by every edit of a post; writers name the one they saw (If-Match).
-- phase: finish
-- probe: column posts.version
-- Lock: metadata only, for an instant.
ALTER TABLE posts ADD COLUMN version INT NOT NULL DEFAULT 1, ALGORITHM = INSTANT
