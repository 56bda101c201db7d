//! The kinds of requests that are measured, and what is sent to the service.

use clap::ValueEnum;

use super::content::Board;
use super::limits::{Limit, Measure};
use super::material::Material;

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
    pub(super) fn part(self, number: u64) -> Self {
        match (self, number % 10) {
            (Self::Mixed, 0..4) => Self::List,
            (Self::Mixed, 4..8) => Self::Detail,
            (Self::Mixed, 8) => Self::SearchCommon,
            (Self::Mixed, _) if number % 50 == 49 => Self::Create,
            (Self::Mixed, _) => Self::LikeSpread,
            (kind, _) => kind,
        }
    }

    /// Whether plain answers hold posts that one statement of the ceiling finds as well.
    pub(super) fn reads_posts(self) -> bool {
        match self {
            Self::Health
            | Self::Browser
            | Self::LikeOne
            | Self::LikeSpread
            | Self::Create
            | Self::Mixed => false,
            Self::List
            | Self::Category
            | Self::Author
            | Self::Page5000
            | Self::Cursor
            | Self::Detail
            | Self::SearchCommon
            | Self::SearchRare
            | Self::SearchMissing
            | Self::SearchCharacter
            | Self::SearchSpace
            | Self::Popular
            | Self::PopularDeep
            | Self::NewViewers => true,
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

    pub(super) fn word(self, material: &Material, n: u64) -> String {
        match self {
            Self::SearchRare => material.rare_word(n),
            Self::SearchMissing => Material::missing_word(n),
            Self::SearchCharacter => Material::character(n),
            Self::SearchSpace => Material::two_words(n),
            _ => material.common_word(n),
        }
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

pub(super) fn encoded(name: &str, value: &str) -> String {
    all_encoded(&[(name, value)])
}

pub(super) fn all_encoded(pairs: &[(&str, &str)]) -> String {
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
