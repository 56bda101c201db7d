INSERT OR IGNORE INTO post_totals (scope, level, bucket, visible) VALUES ('', 0, 0, 0)
