-- Only posts of another service have counts that nobody asked for yet.
-- Lock: none on other tables.
-- Duration: none per row.
INSERT IGNORE INTO comment_sweep (id, before_no)
SELECT 1, IF(a.finished_at IS NULL, NULL, 0) FROM adoption a WHERE a.id = 1
