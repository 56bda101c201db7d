-- A board that never had a post has no author who is missing: complete from the start.
-- Lock: one row of `post_numbers` and of `adoption`, for an instant.
-- Duration: none per row.
UPDATE adoption SET authors_counted_at = UTC_TIMESTAMP()
WHERE finished_at IS NOT NULL AND EXISTS(SELECT 1 FROM post_numbers WHERE last = 0)
