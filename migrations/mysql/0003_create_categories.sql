-- Categories, made on first use. Names are unique by their bytes (NFC, trimmed by the service):
-- a case-insensitive collation would merge names that readers tell apart.
-- probe: table categories
-- Lock: none; an adopted table is left as it is.
-- Duration: none per row.
CREATE TABLE IF NOT EXISTS categories (
    id         VARCHAR(32) NOT NULL,
    name       VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    created_at DATETIME NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY uq_categories_name (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci
