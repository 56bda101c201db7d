INSERT OR IGNORE INTO post_totals (scope, visible) VALUES ('', 0)
