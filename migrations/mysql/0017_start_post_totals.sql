-- An empty board counts none.
-- Lock: none on other tables.
-- Duration: none per row.
INSERT IGNORE INTO post_totals (scope, level, bucket, visible) VALUES ('', 0, 0, 0)
