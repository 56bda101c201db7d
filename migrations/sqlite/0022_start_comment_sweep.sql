INSERT OR IGNORE INTO comment_sweep (id, before_no) VALUES (1, 0)
