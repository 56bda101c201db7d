//! The kinds of requests that are measured: what is sent to the service, and what the ceiling runs
//! in its place.

use clap::ValueEnum;

use super::content::Board;
use super::database::Database;
use super::limits::{Limit, Measure};
use super::material::Material;

/// The columns of a post, as the service reads them from a server.
const COLUMNS: &str = "p.version, p.id, CAST(p.No AS SIGNED) AS number, p.title, p.content, \
    p.username, p.user_id, p.category, CAST(p.view_count AS SIGNED) AS view_count, \
    CAST(p.like_count AS SIGNED) AS like_count, CAST(p.comment_count AS SIGNED) AS comment_count, \
    CAST(p.media_files AS CHAR) AS media_files, \
    DATE_FORMAT(p.created_at, '%Y-%m-%dT%H:%i:%s') AS created_at, \
    DATE_FORMAT(p.updated_at, '%Y-%m-%dT%H:%i:%s') AS updated_at";

/// And from a SQLite file.
const SQLITE_COLUMNS: &str = "p.version, p.id, p.No AS number, p.title, p.content, p.username, \
    p.user_id, p.category, p.view_count, p.like_count, p.comment_count, p.media_files, p.created_at, \
    p.updated_at";

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Health,
    List,
    Browser,
    Category,
    Author,
    Page5000,
    Cursor,
    Detail,
    SearchCommon,
    SearchRare,
    SearchMissing,
    SearchCharacter,
    SearchSpace,
    Popular,
    PopularDeep,
    LikeOne,
    LikeSpread,
    Create,
    NewViewers,
    Mixed,
}

impl Kind {
    /// The name by which it is chosen.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::List => "list",
            Self::Browser => "browser",
            Self::Category => "category",
            Self::Author => "author",
            Self::Page5000 => "page5000",
            Self::Cursor => "cursor",
            Self::Detail => "detail",
            Self::SearchCommon => "search-common",
            Self::SearchRare => "search-rare",
            Self::SearchMissing => "search-missing",
            Self::SearchCharacter => "search-character",
            Self::SearchSpace => "search-space",
            Self::Popular => "popular",
            Self::PopularDeep => "popular-deep",
            Self::LikeOne => "like-one",
            Self::LikeSpread => "like-spread",
            Self::Create => "create",
            Self::NewViewers => "new-viewers",
            Self::Mixed => "mixed",
        }
    }

    /// What its requests are.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::List => "list, first page",
            Self::Browser => "list, compressed",
            Self::Category => "list of a category",
            Self::Author => "list of an author",
            Self::Page5000 => "list, page 5000",
            Self::Cursor => "list, cursors far down",
            Self::Detail => "post, seen before",
            Self::SearchCommon => "search, common words",
            Self::SearchRare => "search, rare words",
            Self::SearchMissing => "search, missing words",
            Self::SearchCharacter => "search, one character",
            Self::SearchSpace => "search, two words",
            Self::Popular => "popular, first page",
            Self::PopularDeep => "popular, cursors far down",
            Self::LikeOne => "like toggle, one post",
            Self::LikeSpread => "like toggle, any post",
            Self::Create => "create",
            Self::NewViewers => "post, always new viewers",
            Self::Mixed => "nine reads to a write",
        }
    }

    /// The parts of a mixture, one of each ten requests.
    fn part(self, number: u64) -> Self {
        match (self, number % 10) {
            (Self::Mixed, 0..4) => Self::List,
            (Self::Mixed, 4..8) => Self::Detail,
            (Self::Mixed, 8) => Self::SearchCommon,
            (Self::Mixed, _) if number % 50 == 49 => Self::Create,
            (Self::Mixed, _) => Self::LikeSpread,
            (kind, _) => kind,
        }
    }

    /// How many requests there are before they begin anew: as many as one measurement can send where
    /// none may come twice.
    pub(super) fn requests(self) -> u64 {
        match self {
            Self::Health | Self::List | Self::Browser | Self::Page5000 | Self::Popular => 1_000,
            Self::NewViewers => 100_000,
            // All of them are sent while warming up.
            Self::Detail => 5_000,
            _ => 20_000,
        }
    }

    /// Whether each measurement sends the same, so that its viewers have been counted.
    pub(super) fn is_repeated(self) -> bool {
        self == Self::Detail
    }

    /// The line of the n-th request to the service.
    pub(super) fn service_line(self, material: &Material, n: u64) -> String {
        let kind = self.part(n);
        let client = match kind {
            Self::NewViewers => n,
            _ => n % 1_000,
        };
        let (method, path, body) = kind.request(material, n);
        let [_, b, c, d] = u32::try_from(client).unwrap_or(0).to_be_bytes();
        let mut line = format!("{method}\t{path}\t{body}\tX-Forwarded-For: 11.{b}.{c}.{d}");
        if kind == Self::Browser {
            line.push_str("\tAccept-Encoding: gzip, deflate, br, zstd");
        }
        if method == "POST" {
            line.push_str("\tAuthorization: Bearer ");
            line.push_str(material.token(n));
        }
        line
    }

    fn request(self, material: &Material, n: u64) -> (&'static str, String, String) {
        let list = |query: String| ("GET", format!("/api/v1/posts{query}"), String::new());
        let like = |id: String| ("POST", format!("/api/v1/posts/{id}/like"), String::new());
        match self {
            Self::Health => ("GET", "/health".to_owned(), String::new()),
            Self::List | Self::Browser | Self::Mixed => list(String::new()),
            Self::Category => list(format!("?category_id={}", material.category(n))),
            Self::Author => list(format!("?user_id={}", material.author(n))),
            Self::Page5000 => list(format!("?page={}", material.page())),
            Self::Cursor => list(format!("?cursor={}", material.cursor(n).text)),
            Self::Detail | Self::NewViewers => {
                let path = format!("/api/v1/posts/{}", material.post(n));
                ("GET", path, String::new())
            }
            Self::SearchCommon
            | Self::SearchRare
            | Self::SearchMissing
            | Self::SearchCharacter
            | Self::SearchSpace => list(format!("?{}", encoded("q", &self.word(material, n)))),
            Self::Popular => list("?sort=popular".to_owned()),
            Self::PopularDeep => {
                let cursor = &material.popular_cursor(n).text;
                list(format!("?sort=popular&cursor={cursor}"))
            }
            Self::LikeOne => like(material.post(0)),
            Self::LikeSpread => like(material.post(n)),
            Self::Create => {
                let (title, content, category) = material.draft(n);
                let body =
                    serde_json::json!({"title": title, "content": content, "category": category});
                ("POST", "/api/v1/posts".to_owned(), body.to_string())
            }
        }
    }

    fn word(self, material: &Material, n: u64) -> String {
        match self {
            Self::SearchRare => material.rare_word(n),
            Self::SearchMissing => Material::missing_word(n),
            Self::SearchCharacter => Material::character(n),
            Self::SearchSpace => Material::two_words(n),
            _ => material.common_word(n),
        }
    }

    /// The line of the n-th request to the ceiling.
    pub(super) fn ceiling_line(self, material: &Material, n: u64) -> String {
        let kind = self.part(n);
        let text = |value: &str| format!("?{}", encoded("s", value));
        let values = match kind {
            Self::Health | Self::List | Self::Browser | Self::Popular | Self::Mixed => {
                String::new()
            }
            Self::Category => text(material.category(n)),
            Self::Author => text(&material.author(n)),
            Self::Page5000 => format!("?i={}", material.page_start()),
            Self::Cursor => format!("?i={}", material.cursor(n).number),
            Self::Detail | Self::NewViewers | Self::LikeSpread => text(&material.post(n)),
            Self::LikeOne => text(&material.post(0)),
            Self::SearchCommon
            | Self::SearchRare
            | Self::SearchMissing
            | Self::SearchCharacter
            | Self::SearchSpace => text(&format!("%{}%", kind.word(material, n))),
            Self::PopularDeep => {
                let cursor = material.popular_cursor(n);
                let (value, number) = (cursor.value, cursor.number);
                format!("?i={value}&i={number}&i={value}")
            }
            Self::Create => {
                let (title, content, category) = material.draft(n);
                let pairs = [("s", &*title), ("s", &*content), ("s", category)];
                // No two kinds take the same numbers.
                let first = if self == Self::Mixed {
                    1_500_000_000
                } else {
                    1_000_000_000
                };
                format!("?i={}&{}", first + n, all_encoded(&pairs))
            }
        };
        format!("GET\t/{}{values}\t", kind.name())
    }

    /// The names of the ceiling's paths that its lines name.
    pub(super) fn parts(self) -> Vec<Self> {
        match self {
            Self::Mixed => vec![
                Self::List,
                Self::Detail,
                Self::SearchCommon,
                Self::LikeSpread,
                Self::Create,
            ],
            kind => vec![kind],
        }
    }

    /// The one statement that the ceiling runs.
    pub(super) fn statement(self, database: Database) -> Option<String> {
        let columns = match database {
            Database::Mysql | Database::Mariadb => COLUMNS,
            Database::Sqlite => SQLITE_COLUMNS,
        };
        let page = |condition: &str, order: &str| {
            let by = |prefix: &str| order.replace('.', prefix);
            format!(
                "SELECT {columns} FROM posts p JOIN (SELECT id FROM posts WHERE status = 'visible' \
                 {condition} ORDER BY {} LIMIT 11) page ON page.id = p.id ORDER BY {}",
                by(""),
                by("p.")
            )
        };
        let (latest, popular) = (".No DESC", ".like_count DESC, .No DESC");
        Some(match self {
            Self::Health => return None,
            Self::List | Self::Browser | Self::Mixed => page("", latest),
            Self::Category => page("AND category_id = ?", latest),
            Self::Author => page("AND user_id = ?", latest),
            Self::Page5000 | Self::Cursor => page("AND No < ?", latest),
            Self::Detail | Self::NewViewers => {
                format!("SELECT {columns} FROM posts p WHERE p.id = ? AND p.status = 'visible'")
            }
            Self::SearchCommon
            | Self::SearchRare
            | Self::SearchMissing
            | Self::SearchCharacter
            | Self::SearchSpace => page("AND title LIKE ? ESCAPE '!'", latest),
            Self::Popular => page("", popular),
            Self::PopularDeep => popular_after(columns),
            Self::LikeOne | Self::LikeSpread => {
                "UPDATE posts SET like_count = like_count + 1 WHERE id = ?".to_owned()
            }
            // Where no reader sees it.
            Self::Create => {
                let (id, now) = match database {
                    Database::Mysql | Database::Mariadb => ("REPLACE(UUID(), '-', '')", "NOW()"),
                    Database::Sqlite => ("lower(hex(randomblob(16)))", "datetime()"),
                };
                format!(
                    "INSERT INTO posts (id, No, username, user_id, title, content, category, \
                     status, created_at, updated_at) \
                     VALUES ({id}, ?, 'bench', 'bench', ?, ?, ?, 'deleted', {now}, {now})"
                )
            }
        })
    }

    /// What is promised of it on this board.
    pub(super) fn limits(self, connections: u32, board: Board) -> Vec<Limit> {
        let mut limits = Vec::new();
        let mut add = |measure, bound: Option<f64>| {
            limits.extend(bound.map(|bound| Limit { measure, bound }));
        };
        // One of 1, 16 and 256 connections.
        let at = |bounds: [Option<f64>; 3]| match connections {
            1 => bounds[0],
            16 => bounds[1],
            256 => bounds[2],
            _ => None,
        };
        let (rate, ratio) = match self {
            Self::List | Self::Popular | Self::Page5000 => (
                [None, Some(8_000.0), Some(20_000.0)],
                [Some(0.9), Some(2.0), Some(5.0)],
            ),
            Self::Detail => (
                [None, Some(6_000.0), Some(12_000.0)],
                [Some(0.9), Some(1.5), Some(4.0)],
            ),
            Self::SearchCommon | Self::LikeSpread => {
                ([None, Some(2_000.0), Some(2_000.0)], [None; 3])
            }
            Self::SearchRare | Self::SearchMissing => ([None, Some(500.0), Some(500.0)], [None; 3]),
            Self::LikeOne => ([None, Some(1_200.0), Some(1_200.0)], [None; 3]),
            Self::NewViewers => ([None, None, Some(20_000.0)], [None; 3]),
            _ => ([None; 3], [None; 3]),
        };
        // Rates are promised of this board.
        if board.posts() == 100_000 {
            add(Measure::Rate, at(rate));
        }
        add(Measure::Ratio, at(ratio));
        if matches!(self, Self::List) {
            // 60 µs a request.
            add(Measure::Processor, at([None, Some(0.6), Some(0.6)]));
            add(Measure::Resident, at([None, None, Some(40.0)]));
        }
        match self {
            Self::SearchCommon | Self::SearchRare | Self::SearchMissing | Self::SearchSpace => {
                add(Measure::P99, at([Some(150.0), None, None]));
            }
            Self::SearchCharacter => add(Measure::P99, at([Some(2_000.0), Some(2_000.0), None])),
            _ => {}
        }
        limits
    }
}

fn popular_after(columns: &str) -> String {
    let part = |name: &str, condition: &str| {
        format!(
            "SELECT * FROM (SELECT id, No, like_count FROM posts WHERE status = 'visible' AND \
             {condition} ORDER BY like_count DESC, No DESC LIMIT 11) {name}"
        )
    };
    format!(
        "SELECT {columns} FROM posts p JOIN (SELECT id FROM ({} UNION ALL {}) either ORDER BY \
         like_count DESC, No DESC LIMIT 11) page ON page.id = p.id ORDER BY p.like_count DESC, \
         p.No DESC",
        part("equal", "like_count = ? AND No < ?"),
        part("beyond", "like_count < ?")
    )
}

fn encoded(name: &str, value: &str) -> String {
    all_encoded(&[(name, value)])
}

fn all_encoded(pairs: &[(&str, &str)]) -> String {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(pairs);
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_chosen_by_the_names_they_have() {
        for kind in Kind::value_variants() {
            let value = kind.to_possible_value().unwrap();
            assert_eq!(value.get_name(), kind.name());
        }
    }

    #[test]
    fn a_mixture_is_nine_reads_to_a_write() {
        let parts: Vec<Kind> = (0..100).map(|number| Kind::Mixed.part(number)).collect();
        let writes = [Kind::LikeSpread, Kind::Create];
        let count = parts.iter().filter(|part| writes.contains(part)).count();
        assert_eq!(count, 10);
        assert!(parts.iter().all(|part| Kind::Mixed.parts().contains(part)));
    }

    #[test]
    fn statements_have_a_placeholder_for_each_value() {
        let material = Material::of_board(Board::new(2_000));
        for kind in Kind::value_variants() {
            if *kind == Kind::Mixed {
                continue;
            }
            let statement = kind.statement(Database::Mysql).unwrap_or_default();
            let in_file = kind.statement(Database::Sqlite).unwrap_or_default();
            assert_eq!(statement.matches('?').count(), in_file.matches('?').count());
            let line = kind.ceiling_line(&material, 7);
            let path = line.split('\t').nth(1).unwrap();
            let values = path.split_once('?').map_or("", |(_, values)| values);
            let values = url::form_urlencoded::parse(values.as_bytes()).count();
            assert_eq!(statement.matches('?').count(), values, "{kind:?}");
        }
    }

    #[test]
    fn each_request_is_one_line() {
        let material = Material::of_board(Board::new(2_000));
        for kind in Kind::value_variants() {
            for number in 0..60 {
                let line = kind.service_line(&material, number);
                assert!(!line.contains('\n') && line.contains("X-Forwarded-For: 11."));
                assert!(!kind.ceiling_line(&material, number).contains('\n'));
            }
        }
    }
}
