//! The board that is measured: the same posts, authors and likes on every machine, each a function
//! of its number. Nothing of it comes from a real board.

use std::fmt::Write as _;

use super::words;

/// Raised whenever anything here gives other rows: kept boards are made anew.
pub(super) const VERSION: &str = "1";

/// Posts for each author; a few authors have many.
const POSTS_PER_AUTHOR: u64 = 20;
/// From the beginning of 2023 to the last post.
const SPAN_SECONDS: u64 = 3 * 365 * 86_400;
/// One post in so many has a name in its title that hardly any other has.
pub(super) const NAMED: u64 = 10;
/// The most likes of a post.
const MOST_LIKES: u64 = 2_000;

/// A sequence that is the same for ever (splitmix64), which a crate of random numbers does not
/// promise from version to version.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of one thing among those of a sort.
    pub(super) fn of(sort: u64, number: u64) -> Self {
        let mut dice = Self(sort.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ number);
        dice.0 = dice.next();
        dice
    }

    /// Any number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, all alike.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// In the range of 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `end`, small ones much more often.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a fraction of `end` lies below it"
    )]
    fn skewed(&mut self, end: u64, power: i32) -> u64 {
        ((self.fraction().powi(power) * end as f64) as u64).min(end - 1)
    }

    /// A number with a long tail: `scale / x^exponent` of an even `x`, at most `most`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "at most `most`"
    )]
    fn tailed(&mut self, scale: f64, exponent: f64, most: u64) -> u64 {
        let even = self.fraction().max(1e-12);
        (scale / even.powf(exponent)).min(most as f64) as u64
    }

    fn one<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[usize::try_from(self.below(words.len() as u64)).unwrap_or(0)]
    }

    /// One of the words, the first ones more often.
    fn usual<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[usize::try_from(self.skewed(words.len() as u64, 2)).unwrap_or(0)]
    }
}

/// A category with its share in a thousand posts.
const CATEGORIES: [(&str, u64); 12] = [
    ("자유", 310),
    ("질문", 190),
    ("맛집", 130),
    ("여행", 100),
    ("육아", 80),
    ("취업", 60),
    ("중고거래", 50),
    ("부동산", 34),
    ("반려동물", 25),
    ("운동", 15),
    ("공지", 5),
    ("건의", 1),
];

/// The board of so many posts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Board {
    posts: u64,
    /// Leads from a number to its place in the order of ids, and back.
    stride: u64,
    back: u64,
}

/// A row of `posts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Post {
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) author: u64,
    pub(super) category: usize,
    pub(super) title: String,
    pub(super) content: String,
    pub(super) views: u64,
    pub(super) likes: u64,
    pub(super) comments: u64,
    pub(super) status: &'static str,
    /// The JSON of its list of images, and how many.
    pub(super) media: (Option<String>, usize),
    pub(super) created_at: String,
}

/// A row of `likes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Like {
    pub(super) id: String,
    pub(super) user: String,
}

impl Board {
    /// A board of so many posts.
    pub(super) fn new(posts: u64) -> Self {
        // Neighbours in number are far apart in the order of ids, as random ids are.
        let mut stride = posts * 618 / 1_000 + 1;
        while gcd(stride, posts) != 1 {
            stride += 1;
        }
        Self {
            posts,
            stride,
            back: inverse(stride, posts),
        }
    }

    /// How many posts there are; they are numbered from 1.
    pub(super) fn posts(self) -> u64 {
        self.posts
    }

    /// How many users write and like.
    pub(super) fn users(self) -> u64 {
        (self.posts / POSTS_PER_AUTHOR).max(100)
    }

    /// The number of the post at a place in the order of ids.
    pub(super) fn number_at(self, place: u64) -> u64 {
        modular(place, self.back, self.posts) + 1
    }

    /// The id of a post: places in the order of ids divide all ids evenly.
    pub(super) fn id(self, number: u64) -> String {
        let place = modular(number - 1, self.stride, self.posts);
        let share = u64::MAX / self.posts;
        let mut dice = Dice::of(1, number);
        let high = place * share + dice.below(share);
        format!("{high:016x}{:016x}", dice.next())
    }

    /// A post.
    pub(super) fn post(self, number: u64) -> Post {
        let mut dice = Dice::of(2, number);
        let author = dice.skewed(self.users(), 3);
        let category = category(dice.below(1_000));
        let title = title(&mut dice, number);
        let content = content(&mut dice);
        let status = match dice.below(1_000) {
            0..970 => "visible",
            970..980 => "hidden",
            _ => "deleted",
        };
        let id = self.id(number);
        let created_at = timestamp(number * SPAN_SECONDS / self.posts);
        Post {
            number,
            author,
            category,
            title,
            content,
            views: dice.tailed(12.0, 0.6, 200_000),
            likes: self.likes_of(number),
            comments: dice.tailed(0.8, 0.6, 500),
            status,
            media: media(&mut dice, &id, &created_at),
            id,
            created_at,
        }
    }

    /// Whether readers see it.
    pub(super) fn is_visible(self, number: u64) -> bool {
        self.post(number).status == "visible"
    }

    fn likes_of(self, number: u64) -> u64 {
        Dice::of(3, number).tailed(0.35, 0.75, MOST_LIKES.min(self.users() / 2))
    }

    /// The likes of a post, in the order of their ids and users.
    pub(super) fn likes(self, number: u64) -> Vec<Like> {
        let count = self.likes_of(number);
        let mut dice = Dice::of(4, number);
        let first = dice.below(self.users());
        let users = (first..first + count).map(|user| self::user(user % self.users()).0);
        let mut users: Vec<String> = users.collect();
        users.sort_unstable();
        let place = modular(number - 1, self.stride, self.posts);
        let share = u64::MAX / self.posts;
        let each = share / (count + 1);
        let like = |(at, user)| Like {
            id: format!("{:016x}{:016x}", place * share + at * each, dice.next()),
            user,
        };
        (0..).zip(users).map(like).collect()
    }
}

/// Id and name of a category.
pub(super) fn categories() -> impl Iterator<Item = (String, &'static str)> {
    CATEGORIES
        .iter()
        .zip(0..)
        .map(|((name, _), number)| (hex_id(5, number), *name))
}

/// Id and name of a user.
pub(super) fn user(number: u64) -> (String, String) {
    let hex = hex_id(6, number);
    let id = format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    );
    let mut dice = Dice::of(7, number);
    (id, format!("{}{number}", dice.one(&words::NAMES)))
}

/// The name in a post's title that hardly any other has, if it has one.
pub(super) fn rare_name(number: u64) -> Option<String> {
    number.is_multiple_of(NAMED).then(|| {
        let mut dice = Dice::of(8, number);
        (0..3)
            .map(|_| syllable(dice.below(14), dice.below(6), 0))
            .collect()
    })
}

/// A Hangul syllable of an initial, a vowel and a final letter (Unicode, chapter 3.12), of those
/// that are used most.
pub(super) fn syllable(initial: u64, vowel: u64, last: u64) -> char {
    const INITIALS: [u32; 14] = [0, 2, 3, 5, 6, 7, 9, 11, 12, 14, 15, 16, 17, 18];
    const VOWELS: [u32; 6] = [0, 4, 8, 13, 18, 20];
    let initial = INITIALS[usize::try_from(initial).unwrap_or(0) % INITIALS.len()];
    let vowel = VOWELS[usize::try_from(vowel).unwrap_or(0) % VOWELS.len()];
    let last = u32::try_from(last).unwrap_or(0) % 28;
    char::from_u32(0xac00 + (initial * 21 + vowel) * 28 + last).unwrap_or('가')
}

fn hex_id(sort: u64, number: u64) -> String {
    let mut dice = Dice::of(sort, number);
    format!("{:016x}{:016x}", dice.next(), dice.next())
}

fn category(mut at: u64) -> usize {
    for (number, (_, share)) in CATEGORIES.iter().enumerate() {
        if at < *share {
            return number;
        }
        at -= share;
    }
    0
}

/// Mostly 12 to 30 characters.
fn title(dice: &mut Dice, number: u64) -> String {
    let mut title = String::new();
    if dice.below(5) == 0 {
        let _ = write!(title, "[{}] ", dice.usual(&words::TAGS));
    }
    let _ = write!(
        title,
        "{} {} {}",
        dice.usual(&words::PLACES),
        dice.usual(&words::THINGS),
        dice.usual(&words::ENDINGS)
    );
    if let Some(name) = rare_name(number) {
        let _ = write!(title, " {name}");
    }
    if dice.below(3) == 0 {
        let _ = write!(
            title,
            ", {} {}",
            dice.usual(&words::THINGS),
            dice.usual(&words::ENDINGS)
        );
    }
    title
}

/// Mostly one to four sentences of some twenty characters, in a few paragraphs.
fn content(dice: &mut Dice) -> String {
    let mut content = String::new();
    for _ in 0..=dice.tailed(1.2, 0.5, 60) {
        let _ = write!(
            content,
            "{} {} {} {}.",
            dice.usual(&words::PLACES),
            dice.usual(&words::THINGS),
            dice.one(&words::MIDDLES),
            dice.usual(&words::ENDINGS)
        );
        content.push(if dice.below(4) == 0 { '\n' } else { ' ' });
    }
    content.truncate(content.trim_end().len());
    content
}

/// One post in twelve has images.
fn media(dice: &mut Dice, post: &str, uploaded_at: &str) -> (Option<String>, usize) {
    if dice.below(12) != 0 {
        return (None, 0);
    }
    let count = dice.tailed(1.0, 0.6, 8);
    let entries: Vec<_> = (0..count)
        .map(|number| {
            let hex = format!("{:016x}{:016x}", dice.next(), dice.next());
            let id = format!(
                "{}-{}-4{}-8{}-{}",
                &hex[..8],
                &hex[8..12],
                &hex[13..16],
                &hex[17..20],
                &hex[20..]
            );
            let path = format!("images/{post}/{id}-photo{number}.jpg");
            serde_json::json!({
                "id": id, "file_name": format!("photo{number}.jpg"),
                "s3_key": format!("image_files/{path}"),
                "s3_url": format!("https://api.example.com/api/v1/images/{path}"),
                "file_type": "image", "file_size": 20_000 + dice.below(2_000_000),
                "content_type": "image/jpeg", "uploaded_at": uploaded_at,
            })
        })
        .collect();
    let count = entries.len();
    (Some(serde_json::Value::Array(entries).to_string()), count)
}

/// So many seconds after the beginning of 2023.
fn timestamp(seconds: u64) -> String {
    let begin = k8s_openapi::jiff::civil::date(2023, 1, 1).at(0, 0, 0, 0);
    let span = k8s_openapi::jiff::Span::new().seconds(i64::try_from(seconds).unwrap_or(0));
    begin
        .checked_add(span)
        .map_or_else(|_| String::new(), |time| time.to_string())
}

fn modular(factor: u64, other: u64, modulus: u64) -> u64 {
    let product = u128::from(factor) * u128::from(other) % u128::from(modulus);
    u64::try_from(product).unwrap_or(0)
}

fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 {
        one
    } else {
        gcd(other, one % other)
    }
}

/// The number that `value` times it is 1, by Euclid's extended algorithm.
fn inverse(value: u64, modulus: u64) -> u64 {
    let (mut old, mut new) = (i128::from(value), i128::from(modulus));
    let (mut factor, mut next) = (1_i128, 0_i128);
    while new != 0 {
        let quotient = old / new;
        (old, new) = (new, old - quotient * new);
        (factor, next) = (next, factor - quotient * next);
    }
    u64::try_from(factor.rem_euclid(i128::from(modulus))).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const BOARD: u64 = 10_000;

    #[test]
    fn ids_are_in_the_order_of_places_and_each_number_has_one() {
        let board = Board::new(BOARD);
        let numbers: Vec<u64> = (0..BOARD).map(|place| board.number_at(place)).collect();
        let ids: Vec<String> = numbers.iter().map(|number| board.id(*number)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.len() == 32));
        let numbers: HashSet<u64> = numbers.into_iter().collect();
        assert_eq!(numbers.len() as u64, BOARD);
        assert!(numbers.contains(&1) && numbers.contains(&BOARD));
    }

    #[test]
    fn a_post_is_the_same_every_time_and_its_counters_are_true() {
        let board = Board::new(BOARD);
        for number in 1..=1_000 {
            let post = board.post(number);
            assert_eq!(post, board.post(number));
            assert_eq!(post.likes, board.likes(number).len() as u64);
            let entries = post.media.0.as_deref().unwrap_or("[]");
            let entries: Vec<serde_json::Value> = serde_json::from_str(entries).unwrap();
            assert_eq!(entries.len(), post.media.1);
            assert!(post.title.chars().count() <= 200, "{}", post.title);
        }
    }

    #[test]
    fn nobody_likes_a_post_twice_and_likes_are_in_order() {
        let board = Board::new(BOARD);
        let mut last = String::new();
        for place in 0..BOARD {
            let likes = board.likes(board.number_at(place));
            let users: HashSet<_> = likes.iter().map(|like| &like.user).collect();
            assert_eq!(users.len(), likes.len());
            for like in &likes {
                assert!(last < like.id);
                last.clone_from(&like.id);
            }
        }
    }

    #[test]
    fn categories_and_authors_are_skewed() {
        let board = Board::new(BOARD);
        let posts: Vec<Post> = (1..=BOARD).map(|number| board.post(number)).collect();
        let of_category = |number| posts.iter().filter(|post| post.category == number).count();
        assert!(of_category(0) > 10 * of_category(9));
        let most_active = posts.iter().filter(|post| post.author == 0).count();
        assert!(most_active > 200, "{most_active}");
    }

    #[test]
    fn titles_are_as_long_as_real_ones() {
        let board = Board::new(BOARD);
        let mut lengths: Vec<usize> = (1..=BOARD)
            .map(|number| board.post(number).title.chars().count())
            .collect();
        lengths.sort_unstable();
        let median = lengths[lengths.len() / 2];
        assert!((10..=30).contains(&median), "{median}");
    }

    #[test]
    fn the_last_post_is_of_the_end_of_2025() {
        assert_eq!(timestamp(0), "2023-01-01T00:00:00");
        let board = Board::new(BOARD);
        assert!(board.post(BOARD).created_at.starts_with("2025-12-31"));
    }
}
