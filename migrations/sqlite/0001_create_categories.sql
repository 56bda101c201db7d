-- Categories, made on first use; names are unique by their bytes (NFC, trimmed by the service).
CREATE TABLE IF NOT EXISTS categories (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL
)
