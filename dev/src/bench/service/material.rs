//! What requests are made of: posts, words, places far down in lists, and tokens.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::content::{self, Board, Dice};
use super::issuer::Issuer;
use super::words;

/// Posts that are asked for.
const POSTS: u64 = 20_000;
/// Places far down in lists.
const PLACES: u64 = 32;
/// Users whose tokens are used.
const USERS: u64 = 64;
/// Entries on a page, by default.
const PAGE: u64 = 10;

/// A place in a list.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// As the API writes it.
    pub(super) text: String,
    /// What it says: the value that the list is ordered by, and the post's number.
    pub(super) value: i64,
    pub(super) number: i64,
}

/// Made once a run.
#[derive(Debug)]
pub(super) struct Material {
    board: Board,
    /// Of posts that readers see.
    ids: Vec<String>,
    categories: Vec<String>,
    common: Vec<String>,
    cursors: Vec<Place>,
    popular: Vec<Place>,
    page_start: i64,
    tokens: Vec<String>,
}

impl Material {
    /// What the board alone gives.
    pub(super) fn of_board(board: Board) -> Self {
        let mut dice = Dice::of(9, 0);
        let numbers = (0..POSTS).map(|_| 1 + dice.below(board.posts()));
        let visible = numbers.filter(|number| board.is_visible(*number));
        Self {
            board,
            ids: visible.map(|number| board.id(number)).collect(),
            categories: content::categories().map(|(id, _)| id).collect(),
            common: common_words(),
            cursors: vec![Place::default()],
            popular: vec![Place::default()],
            page_start: 1,
            tokens: vec![String::new()],
        }
    }

    /// With places as the service at this URL tells them, and tokens.
    pub(super) async fn gather(board: Board, url: &str, issuer: &Issuer) -> Result<Self> {
        let mut material = Self::of_board(board);
        let tokens = (0..USERS).map(|user| issuer.token(user));
        material.tokens = tokens.collect::<Result<_>>()?;
        material.find_places(url).await?;
        Ok(material)
    }

    /// Looks for the places once more: new posts move them.
    pub(super) async fn find_places(&mut self, url: &str) -> Result<()> {
        let list = format!("{url}/api/v1/posts");
        let before = self.page() - 1;
        self.page_start = place(&format!("{list}?page={before}")).await?.number;
        let pages = self.board.posts() / PAGE;
        self.cursors.clear();
        self.popular.clear();
        let mut dice = Dice::of(10, 0);
        for _ in 0..PLACES {
            // Between a tenth and nine tenths of the way down.
            let page = pages / 10 + dice.below(pages * 8 / 10);
            let latest = place(&format!("{list}?page={page}")).await?;
            self.cursors.push(latest);
            // Fewer of these: without a cursor the way there is an OFFSET.
            if self.popular.len() < 8 {
                let page = page.min(20_000);
                let popular = place(&format!("{list}?sort=popular&page={page}")).await?;
                self.popular.push(popular);
            }
        }
        Ok(())
    }

    pub(super) fn token(&self, n: u64) -> &str {
        one::<String>(&self.tokens, n)
    }

    pub(super) fn category(&self, n: u64) -> &str {
        one::<String>(&self.categories, n)
    }

    pub(super) fn post(&self, n: u64) -> String {
        one(&self.ids, n).clone()
    }

    /// Of a post, so that active ones come more often.
    pub(super) fn author(&self, n: u64) -> String {
        let number = 1 + Dice::of(11, n).below(self.board.posts());
        content::user(self.board.post(number).author).0
    }

    /// 5000, or the middle of a small board.
    pub(super) fn page(&self) -> u64 {
        5_000.min(self.board.posts() / PAGE / 2).max(2)
    }

    /// The number before which that page begins.
    pub(super) fn page_start(&self) -> i64 {
        self.page_start
    }

    /// How many posts with these numbers readers see.
    pub(super) fn visible(&self, numbers: std::ops::Range<i64>) -> usize {
        let numbers = numbers.filter_map(|number| u64::try_from(number).ok());
        numbers
            .filter(|number| self.board.is_visible(*number))
            .count()
    }

    pub(super) fn cursor(&self, n: u64) -> &Place {
        one(&self.cursors, n)
    }

    pub(super) fn popular_cursor(&self, n: u64) -> &Place {
        one(&self.popular, n)
    }

    /// Title, content and category of a new post.
    pub(super) fn draft(&self, n: u64) -> (String, String, &'static str) {
        let post = self
            .board
            .post(1 + Dice::of(12, n).below(self.board.posts()));
        let category = content::categories().nth(post.category);
        (
            post.title,
            post.content,
            category.map_or("자유", |(_, name)| name),
        )
    }

    /// In one of two hundred titles or more. They come again only after all others.
    pub(super) fn common_word(&self, n: u64) -> String {
        one(&self.common, n).clone()
    }

    /// In few titles; each comes once, as long as there are such.
    pub(super) fn rare_word(&self, n: u64) -> String {
        let named = self.board.posts() / content::NAMED;
        // Any order but that of numbers.
        let turn = n * 7_919 % named;
        content::rare_name((turn + 1) * content::NAMED).unwrap_or_default()
    }

    /// In no title: words of syllables that Korean has no use for. None comes twice.
    pub(super) fn missing_word(n: u64) -> String {
        // The final letters ㄽ, ㄾ, ㄿ and ㅀ.
        let syllable = |n: u64| content::syllable(n % 14, n / 14 % 6, 12 + n / 84 % 4);
        [syllable(n), syllable(n / 336 + n)].into_iter().collect()
    }

    /// In some titles or in none. They come again only after all others.
    pub(super) fn character(n: u64) -> String {
        const FINALS: [u64; 5] = [0, 4, 8, 16, 21];
        let last = one(&FINALS, n / 84);
        content::syllable(n % 14, n / 14 % 6, *last).to_string()
    }

    /// In few titles, as they are written there.
    pub(super) fn two_words(n: u64) -> String {
        // Neither count divides the other: all pairs come before the first comes again.
        let (first, second) = if n.is_multiple_of(2) {
            (one(&words::PLACES, n / 2), one(&words::THINGS, n / 2 / 48))
        } else {
            (one(&words::THINGS, n / 2), one(&words::ENDINGS, n / 2 / 72))
        };
        format!("{first} {second}")
    }
}

/// The words that titles are made of most, and what is in them.
fn common_words() -> Vec<String> {
    let often = |words: &'static [&'static str]| words.iter().take(words.len() * 2 / 3);
    let phrases = often(&words::PLACES)
        .chain(often(&words::THINGS))
        .chain(often(&words::ENDINGS));
    let mut found: Vec<String> = Vec::new();
    for word in phrases.flat_map(|phrase| phrase.split(' ')) {
        let characters: Vec<char> = word.chars().collect();
        let whole = characters.len().max(2);
        for length in 2..=whole {
            found.extend(characters.windows(length).map(|part| part.iter().collect()));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn one<T>(all: &[T], n: u64) -> &T {
    &all[usize::try_from(n % all.len() as u64).unwrap_or(0)]
}

/// The place after the page at this URL.
async fn place(url: &str) -> Result<Place> {
    let page: serde_json::Value = reqwest::get(url).await?.error_for_status()?.json().await?;
    let text = page["meta"]["next_cursor"].as_str();
    let text = text.with_context(|| format!("{url} has no next page"))?;
    parse_place(text).with_context(|| format!("unexpected cursor {text}"))
}

fn parse_place(text: &str) -> Option<Place> {
    let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let mut parts = plain.split('.').skip(1);
    Some(Place {
        text: text.to_owned(),
        value: parts.next()?.parse().ok()?,
        number: parts.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn material() -> Material {
        Material::of_board(Board::new(10_000))
    }

    #[test]
    fn words_do_not_come_twice_before_all_others_came() {
        let material = material();
        let distinct = |count: u64, word: &dyn Fn(u64) -> String| {
            (0..count).map(word).collect::<HashSet<_>>().len() as u64
        };
        let common = distinct(300, &|n| material.common_word(n));
        let missing = distinct(50_000, &|n| Material::missing_word(n));
        assert_eq!((common, missing), (300, 50_000));
        assert_eq!(distinct(400, &|n| Material::character(n)), 400);
        assert_eq!(distinct(6_000, &|n| Material::two_words(n)), 6_000);
        assert!(distinct(1_000, &|n| material.rare_word(n)) > 900);
    }

    #[test]
    fn words_are_as_common_as_they_are_called() {
        let board = Board::new(10_000);
        let material = material();
        let titles: Vec<String> = (1..=10_000).map(|n| board.post(n).title).collect();
        let count = |word: &str| titles.iter().filter(|title| title.contains(word)).count();
        for n in 0..40 {
            assert_eq!(count(&Material::missing_word(n * 1_009)), 0);
            assert!((1..=20).contains(&count(&material.rare_word(n))));
            let common = material.common_word(n * 13);
            assert!(count(&common) >= 50, "{common}: {}", count(&common));
        }
    }

    #[test]
    fn a_cursor_tells_value_and_number() {
        let text = URL_SAFE_NO_PAD.encode("likes-desc.7.70");
        let place = parse_place(&text).unwrap();
        assert_eq!((place.value, place.number), (7, 70));
        assert!(parse_place("%").is_none());
    }
}
