-- The allocator of posts.No: one row.
CREATE TABLE IF NOT EXISTS post_numbers (
    id   INTEGER NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
)
