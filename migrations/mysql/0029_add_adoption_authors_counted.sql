-- Since when `author_totals` counts every post. While it is NULL an author's posts are counted one by
-- one; `migrate --finish` makes the table right.
-- probe: column adoption.authors_counted_at
-- Lock: `adoption`, of one row, for an instant.
-- Duration: none per row.
ALTER TABLE adoption ADD COLUMN authors_counted_at DATETIME NULL
