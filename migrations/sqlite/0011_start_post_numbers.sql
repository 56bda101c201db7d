INSERT OR IGNORE INTO post_numbers (id, last) VALUES (1, 0)
