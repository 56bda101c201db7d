-- A board that never had a post has no title that is missing: complete from the start.
-- Lock: one row of `post_numbers` and of `adoption`, for an instant.
-- Duration: none per row.
INSERT IGNORE INTO title_index (id, completed_at)
SELECT 1, IF(EXISTS(SELECT 1 FROM adoption WHERE finished_at IS NOT NULL)
             AND EXISTS(SELECT 1 FROM post_numbers WHERE last = 0), UTC_TIMESTAMP(), NULL)
