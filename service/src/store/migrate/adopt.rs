//! Whether tables that were found can be taken over: judged before anything is changed.

use super::MigrateError;
use sqlx::MySqlConnection;
use std::{collections::HashMap, fmt::Write};

/// What a column must be able to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Text short enough for an index.
    Name,
    Text,
    Number,
    Time,
    Json,
    /// One of the three words.
    Status,
}

/// A column of the service that is replaced: its name, what it must be, and how to make it so.
type Wanted = (&'static str, Kind, &'static str);

/// A table of the service that is replaced.
struct Expected {
    name: &'static str,
    columns: &'static [Wanted],
    /// So many of the first columns tell that it is that service's table and not somebody else's.
    telling: usize,
    /// What must be unique, as `information_schema` and as SQL write it.
    unique: &'static [&'static str],
}

const EXPECTED: [Expected; 3] = [
    Expected {
        name: "categories",
        columns: &[
            ("id", Kind::Name, "VARCHAR(32) NOT NULL"),
            ("name", Kind::Name, "VARCHAR(50) NOT NULL"),
            ("created_at", Kind::Time, "DATETIME NULL"),
        ],
        telling: 2,
        unique: &["id", "name"],
    },
    Expected {
        name: "posts",
        columns: &[
            ("id", Kind::Name, "VARCHAR(32) NOT NULL"),
            ("No", Kind::Number, "INT NOT NULL"),
            ("title", Kind::Name, "VARCHAR(200) NULL"),
            ("content", Kind::Text, "TEXT NULL"),
            ("username", Kind::Name, "VARCHAR(100) NULL"),
            ("user_id", Kind::Name, "VARCHAR(36) NULL"),
            ("category", Kind::Name, "VARCHAR(50) NULL"),
            ("category_id", Kind::Name, "VARCHAR(32) NULL"),
            ("view_count", Kind::Number, "INT NULL"),
            ("like_count", Kind::Number, "INT NULL"),
            ("comment_count", Kind::Number, "INT NULL"),
            (
                "status",
                Kind::Status,
                "ENUM('visible','hidden','deleted') NULL",
            ),
            ("media_files", Kind::Json, "JSON NULL"),
            ("media_count", Kind::Number, "INT NULL"),
            ("created_at", Kind::Time, "DATETIME NULL"),
            ("updated_at", Kind::Time, "DATETIME NULL"),
        ],
        telling: 4,
        unique: &["id", "No"],
    },
    Expected {
        name: "likes",
        columns: &[
            ("id", Kind::Name, "VARCHAR(32) NOT NULL"),
            ("post_id", Kind::Name, "VARCHAR(32) NOT NULL"),
            ("user_id", Kind::Name, "VARCHAR(36) NOT NULL"),
            ("created_at", Kind::Time, "DATETIME NULL"),
        ],
        telling: 3,
        unique: &["id", "post_id,user_id"],
    },
];

/// What mends a wrong collation. Foreign keys between the tables forbid it (on MariaDB even
/// while their checks are off), so they are dropped and made again.
fn conversion(found: &[Table]) -> String {
    let mut statements = Vec::new();
    for table in found {
        for key in &table.foreign_keys {
            statements.push(format!("ALTER TABLE {} DROP FOREIGN KEY {key}", table.name));
        }
    }
    for expected in &EXPECTED {
        statements.push(format!(
            "ALTER TABLE {} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci",
            expected.name
        ));
    }
    statements.push(
        "ALTER TABLE posts ADD FOREIGN KEY (category_id) REFERENCES categories (id)".to_owned(),
    );
    statements.push("ALTER TABLE likes ADD FOREIGN KEY (post_id) REFERENCES posts (id)".to_owned());
    statements.join("; ")
}

/// A table as it was found.
#[derive(Debug, Clone)]
pub(super) struct Table {
    name: String,
    is_view: bool,
    engine: String,
    row_format: String,
    columns: Vec<Column>,
    /// Column lists of unique indexes, e.g. `post_id,user_id`.
    unique: Vec<String>,
    /// Names of its foreign keys.
    foreign_keys: Vec<String>,
}

/// A column as it was found.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    /// E.g. `varchar`.
    kind: String,
    /// E.g. `enum('visible','hidden')`.
    definition: String,
    /// Of text.
    collation: Option<String>,
    is_nullable: bool,
}

/// Why tables are not taken over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// This table is somebody else's.
    Foreign(String),
    /// What is wrong, and what mends it.
    Unsuitable(String),
}

impl Refusal {
    pub(super) fn on(self, place: &str) -> MigrateError {
        let place = place.to_owned();
        match self {
            Self::Foreign(table) => MigrateError::Foreign { place, table },
            Self::Unsuitable(reason) => MigrateError::Unsuitable { place, reason },
        }
    }
}

/// Those of the three tables that there are.
pub(super) async fn found(connection: &mut MySqlConnection) -> sqlx::Result<Vec<Table>> {
    let tables: Vec<(String, String, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT CAST(table_name AS CHAR), CAST(table_type AS CHAR), CAST(engine AS CHAR), \
         CAST(row_format AS CHAR) FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_name IN ('posts', 'categories', 'likes')",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut found = Vec::new();
    for (name, kind, engine, row_format) in tables {
        found.push(Table {
            columns: columns(connection, &name).await?,
            unique: unique(connection, &name).await?,
            foreign_keys: foreign_keys(connection, &name).await?,
            is_view: kind != "BASE TABLE",
            engine: engine.unwrap_or_default(),
            row_format: row_format.unwrap_or_default(),
            name,
        });
    }
    Ok(found)
}

async fn columns(connection: &mut MySqlConnection, table: &str) -> sqlx::Result<Vec<Column>> {
    let rows: Vec<(String, String, String, Option<String>, String)> = sqlx::query_as(
        "SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR), CAST(column_type AS CHAR), \
         CAST(collation_name AS CHAR), CAST(is_nullable AS CHAR) \
         FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    let column =
        |(name, kind, definition, collation, is_nullable): (_, String, _, _, String)| Column {
            name,
            kind: kind.to_lowercase(),
            definition,
            collation,
            is_nullable: is_nullable == "YES",
        };
    Ok(rows.into_iter().map(column).collect())
}

async fn unique(connection: &mut MySqlConnection, table: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT CAST(GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR ',') AS CHAR) \
         FROM information_schema.statistics \
         WHERE table_schema = DATABASE() AND table_name = ? AND non_unique = 0 GROUP BY index_name",
    )
    .bind(table)
    .fetch_all(connection)
    .await
}

async fn foreign_keys(connection: &mut MySqlConnection, table: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT CAST(constraint_name AS CHAR) FROM information_schema.table_constraints \
         WHERE table_schema = DATABASE() AND table_name = ? AND constraint_type = 'FOREIGN KEY'",
    )
    .bind(table)
    .fetch_all(connection)
    .await
}

/// Whether these tables can be taken over. None at all is a new database.
pub(super) fn judge(found: &[Table]) -> Result<(), Refusal> {
    if found.is_empty() {
        return Ok(());
    }
    let by_name: HashMap<&str, &Table> = found.iter().map(|t| (t.name.as_str(), t)).collect();
    if let Some(foreign) = EXPECTED.iter().find(|expected| {
        by_name
            .get(expected.name)
            .is_some_and(|table| !expected.is_told_by(table))
    }) {
        return Err(Refusal::Foreign(foreign.name.to_owned()));
    }
    let mut faults = Vec::new();
    for expected in &EXPECTED {
        match by_name.get(expected.name) {
            Some(table) => expected.faults(table, &mut faults),
            None => faults.push(format!(
                "there is no table `{}`: restore it from a backup, or name the database that has \
                 it",
                expected.name
            )),
        }
    }
    if let Some(column) = wrong_collation(found) {
        faults.push(format!(
            "{column}: run `{}` (it blocks writers)",
            conversion(found)
        ));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Unsuitable(faults.join("; ")))
    }
}

/// The first text column that cannot hold every character, or is read as bytes, in words.
fn wrong_collation(found: &[Table]) -> Option<String> {
    let mut columns = found.iter().flat_map(|table| {
        let expected = EXPECTED.iter().find(|e| e.name == table.name);
        let wanted = expected.map_or(&[][..], |expected| expected.columns);
        // MariaDB's JSON is text compared as bytes.
        let texts = wanted.iter().filter(|(_, kind, _)| *kind != Kind::Json);
        let ours = texts.filter_map(|(name, ..)| table.column(name));
        ours.filter_map(move |column| Some((table, column, column.collation.as_deref()?)))
    });
    let (table, column, collation) = columns.find(|(table, column, collation)| {
        // Every statement casts it: names of categories differ in each byte.
        let is_cast = (table.name.as_str(), column.name.as_str()) == ("categories", "name");
        !collation.starts_with("utf8mb4_") || collation.ends_with("_bin") && !is_cast
    })?;
    Some(format!(
        "{}.{} has the collation {collation}, not one of utf8mb4 that compares text",
        table.name, column.name
    ))
}

impl Expected {
    /// Whether the table has the columns that tell whose it is.
    fn is_told_by(&self, table: &Table) -> bool {
        let mut telling = self.columns.iter().take(self.telling);
        telling.all(|(name, ..)| table.column(name).is_some())
    }

    fn faults(&self, table: &Table, faults: &mut Vec<String>) {
        let name = self.name;
        if table.is_view {
            faults.push(format!(
                "`{name}` is a view: name the database that holds the table itself"
            ));
            return;
        }
        if !table.engine.eq_ignore_ascii_case("InnoDB") {
            faults.push(format!(
                "`{name}` is stored by {}: run `ALTER TABLE {name} ENGINE = InnoDB`",
                table.engine
            ));
        }
        if ["compact", "redundant"].contains(&table.row_format.to_lowercase().as_str()) {
            faults.push(format!(
                "`{name}` has a row format too narrow for its indexes: \
                 run `ALTER TABLE {name} ROW_FORMAT = DYNAMIC`"
            ));
        }
        for wanted in self.columns {
            faults.extend(column_fault(name, table, *wanted));
        }
        for columns in self.unique {
            if !table.unique.iter().any(|found| found == columns) {
                faults.push(format!(
                    "`{name}` has no unique key over ({columns}): remove duplicates and run \
                     `ALTER TABLE {name} ADD UNIQUE ({columns})`"
                ));
            }
        }
    }
}

impl Table {
    fn column(&self, name: &str) -> Option<&Column> {
        self.columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

/// What is wrong with this column, if anything is.
fn column_fault(table: &str, found: &Table, (name, kind, definition): Wanted) -> Option<String> {
    let Some(column) = found.column(name) else {
        return Some(format!(
            "{table}.{name} is missing: run `ALTER TABLE {table} ADD COLUMN {name} {definition}`"
        ));
    };
    let must_be_there = definition.ends_with("NOT NULL");
    if kind.fits(column) && !(must_be_there && column.is_nullable) {
        return None;
    }
    let mut fault = format!("{table}.{name} is {}", column.definition);
    if column.is_nullable {
        fault.push_str(" NULL");
    }
    let _ = write!(
        fault,
        ": run `ALTER TABLE {table} MODIFY {name} {definition}`"
    );
    Some(fault)
}

impl Kind {
    fn fits(self, column: &Column) -> bool {
        let kind = column.kind.as_str();
        match self {
            Self::Name => matches!(kind, "varchar" | "char"),
            Self::Text => matches!(kind, "varchar" | "text" | "mediumtext" | "longtext"),
            Self::Number => matches!(kind, "int" | "bigint" | "mediumint"),
            Self::Time => matches!(kind, "datetime" | "timestamp"),
            // MariaDB's JSON is LONGTEXT.
            Self::Json => matches!(kind, "json" | "longtext"),
            Self::Status => match kind {
                "enum" => ["'visible'", "'hidden'", "'deleted'"]
                    .iter()
                    .all(|word| column.definition.contains(word)),
                _ => kind == "varchar",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables as they should be found.
    fn good() -> Vec<Table> {
        let table = |expected: &Expected| Table {
            name: expected.name.into(),
            is_view: false,
            engine: "InnoDB".into(),
            row_format: "Dynamic".into(),
            columns: expected.columns.iter().map(column).collect(),
            unique: expected.unique.iter().map(ToString::to_string).collect(),
            foreign_keys: Vec::new(),
        };
        EXPECTED.iter().map(table).collect()
    }

    fn column((name, kind, definition): &Wanted) -> Column {
        let word = definition.split([' ', '(']).next().unwrap().to_lowercase();
        let is_text = !matches!(kind, Kind::Number | Kind::Time | Kind::Json);
        Column {
            name: (*name).into(),
            kind: word,
            definition: definition.to_lowercase(),
            collation: is_text.then(|| "utf8mb4_0900_ai_ci".into()),
            is_nullable: !definition.ends_with("NOT NULL"),
        }
    }

    fn reason(found: &[Table]) -> String {
        match judge(found).unwrap_err() {
            Refusal::Unsuitable(reason) => reason,
            Refusal::Foreign(table) => panic!("{table} is foreign"),
        }
    }

    #[test]
    fn the_old_services_tables_and_none_at_all_are_good() {
        assert_eq!(judge(&good()), Ok(()));
        assert_eq!(judge(&[]), Ok(()));
    }

    #[test]
    fn a_table_without_the_telling_columns_is_somebody_elses() {
        let mut found = good();
        found[1].columns.retain(|column| column.name != "No");
        assert_eq!(judge(&found), Err(Refusal::Foreign("posts".into())));
    }

    #[test]
    fn every_fault_is_named_with_what_mends_it() {
        let mut found = good();
        found[1]
            .columns
            .retain(|column| column.name != "media_count");
        found[1].columns[2].kind = "text".into();
        found[2].engine = "MyISAM".into();
        found[2].unique.truncate(1);
        let reason = reason(&found);
        for part in [
            "ALTER TABLE posts ADD COLUMN media_count INT NULL",
            "ALTER TABLE posts MODIFY title VARCHAR(200) NULL",
            "ALTER TABLE likes ENGINE = InnoDB",
            "ALTER TABLE likes ADD UNIQUE (post_id,user_id)",
        ] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
    }

    #[test]
    fn a_view_a_missing_table_and_a_wrong_character_set_are_refused() {
        let mut found = good();
        found[1].is_view = true;
        found[0].columns[1].collation = Some("utf8mb3_bin".into());
        found.pop();
        let reason = reason(&found);
        assert!(reason.contains("`posts` is a view"), "{reason}");
        assert!(reason.contains("no table `likes`"), "{reason}");
        assert!(reason.contains("categories.name has the collation utf8mb3_bin"));
        assert!(reason.contains("ALTER TABLE likes CONVERT TO CHARACTER SET utf8mb4"));
    }

    #[test]
    fn names_of_categories_alone_may_be_told_apart_to_the_byte() {
        let mut found = good();
        found[0].columns[1].collation = Some("utf8mb4_bin".into());
        assert!(judge(&found).is_ok());
        let title = found[1].columns.iter_mut().find(|c| c.name == "title");
        title.unwrap().collation = Some("utf8mb4_bin".into());
        assert!(reason(&found).contains("posts.title has the collation utf8mb4_bin"));
    }

    #[test]
    fn a_status_that_lacks_a_word_is_refused() {
        let mut found = good();
        let status = found[1].columns.iter_mut().find(|c| c.name == "status");
        status.unwrap().definition = "enum('visible','deleted')".into();
        assert!(reason(&found).contains("MODIFY status ENUM"));
    }
}
