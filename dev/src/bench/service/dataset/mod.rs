//! The board in a database: made once with the service's own schema, kept in the cache folder, and
//! copied for each run.

mod file;
mod server;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::content::{self, Board};
use super::database::Database;
use crate::backends::Backends;
use crate::command::Command;
use crate::paths::Paths;
use crate::programs::cache::{self, Key};
use crate::progress::Progress;

/// Raised whenever the way of loading gives other tables.
const RECIPE: &str = "3";

/// What is loaded, and with which programs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dataset<'a> {
    pub(super) paths: &'a Paths,
    pub(super) progress: &'a Progress,
    pub(super) backends: &'a Backends<'a>,
    /// The service, whose `migrate` makes the tables.
    pub(super) service: &'a Path,
    pub(super) database: Database,
    pub(super) board: Board,
}

impl Dataset<'_> {
    /// Makes a fresh copy of the board ready for use; returns its URL, the administrator's where there is
    /// one.
    pub(super) async fn serve(self) -> Result<String> {
        let kept = self.kept().await?;
        let data = self.backends.data().join(self.database.name());
        let why = "copying the board for this run";
        let copy = async |_step| {
            Command::new("cp")
                .args(["--archive", "--reflink=auto"])
                .arg(&kept)
                .arg(&data)
                .run()
                .await
        };
        self.progress.step("board", why, copy).await?;
        match self.database.server() {
            Some(kind) => server::start(self, kind, data).await,
            None => Ok(file::url(&data)),
        }
    }

    /// The data folder with the board, made if the cache has none.
    async fn kept(self) -> Result<PathBuf> {
        let posts = self.board.posts().to_string();
        let folder = self.database.migrations();
        let schema = migrations(&self.paths.checkout.join("migrations").join(folder))?;
        let key = Key {
            name: &format!("board-{}", self.database.name()),
            version: &posts,
            inputs: &[RECIPE, content::VERSION, &schema],
        };
        let folder = match cache::present(self.paths, key) {
            Some(folder) => folder,
            None => cache::obtain(self.paths, key, async |new, _| self.make(new).await).await?,
        };
        Ok(folder.join("data"))
    }

    async fn make(self, new: &Path) -> Result<()> {
        match self.database.server() {
            Some(kind) => server::make(self, kind, new).await,
            None => file::make(self, &new.join("data")).await,
        }
    }

    /// What a step that makes the board is for.
    fn making(self) -> String {
        format!(
            "making {} posts (first time only; kept in the cache folder)",
            self.board.posts()
        )
    }

    /// Runs the service's `migrate` on the database at a URL; returns what it printed.
    async fn migrate(self, url: &str, arguments: &[&str]) -> Result<String> {
        Command::new(self.service)
            .arg("migrate")
            .args(arguments)
            .env("DATABASE_URL", url)
            .log(self.backends.processes().log("migrate"))
            .run()
            .await
    }
}

/// The service found nothing to repair.
fn ensure_consistent(finished: &str) -> Result<()> {
    let is_right = |line| finished.contains(line);
    ensure!(
        is_right("the counters of 0 repaired") && is_right("\n0 totals of lists repaired"),
        "the board that was made is not consistent:\n{finished}"
    );
    Ok(())
}

/// The statements that fill the rows by which the service counts; `div` divides whole numbers.
fn totals(board: Board, div: &str) -> [String; 6] {
    let insert = "INSERT INTO post_totals (scope, level, bucket, visible)";
    let buckets =
        format!("2, No {div} 1024 AS bucket, COUNT(*) FROM posts WHERE status = 'visible'");
    let above = |level: u8, bucket: &str| {
        format!(
            "{insert} SELECT scope, {level}, {bucket} AS above, SUM(visible) FROM post_totals \
             WHERE level = {} GROUP BY scope, above",
            level + 1
        )
    };
    [
        "DELETE FROM post_totals".to_owned(),
        format!("{insert} SELECT '', {buckets} GROUP BY bucket"),
        format!("{insert} SELECT category_id, {buckets} GROUP BY category_id, bucket"),
        above(1, &format!("bucket {div} 64")),
        above(0, "0"),
        format!("UPDATE post_numbers SET last = {}", board.posts()),
    ]
}

/// The texts of all migrations.
fn migrations(folder: &Path) -> Result<String> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let texts: std::io::Result<Vec<String>> = files.iter().map(std::fs::read_to_string).collect();
    Ok(texts?.concat())
}
