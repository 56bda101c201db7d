-- A board that never had a post has no author who is missing: complete from the start, unless an earlier
-- version, which does not keep the table, may be writing.
-- Lock: one row of `post_numbers` and of `adoption`, for an instant.
-- Duration: none per row.
UPDATE adoption SET authors_counted_at = UTC_TIMESTAMP()
WHERE finished_at IS NOT NULL AND EXISTS(SELECT 1 FROM post_numbers WHERE last = 0)
    AND NOT EXISTS(SELECT 1 FROM _sqlx_migrations
                   WHERE version < 28 AND installed_on < CURRENT_TIMESTAMP - INTERVAL 10 MINUTE)
