-- The first number is 1.
-- Lock: none on other tables.
-- Duration: none per row.
INSERT IGNORE INTO post_numbers (id, last) VALUES (1, 0)
