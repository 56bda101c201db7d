//! What a row of `title_grams` holds, as the migration that made it says.

/// Bytes of a posting.
pub(super) const SIZE: usize = 3;

/// The number (within its bucket) that a posting is of.
pub(super) fn number(posting: &[u8]) -> u32 {
    place(posting) >> 8
}

/// The number, and below it the place in the title.
fn place(posting: &[u8]) -> u32 {
    posting
        .iter()
        .fold(0, |place, byte| place << 8 | u32::from(*byte))
}

/// Postings without those of a number.
pub(super) fn without(postings: &[u8], gone: u32) -> Vec<u8> {
    let kept = postings.chunks_exact(SIZE);
    kept.filter(|posting| number(posting) != gone)
        .flatten()
        .copied()
        .collect()
}

/// The numbers, biggest first, at which every gram of a word stands at its own distance from the word's
/// beginning.
pub(super) fn common(grams: &[(u8, &[u8])]) -> Vec<u32> {
    let mut beginnings = grams
        .iter()
        .map(|(distance, postings)| beginnings(*distance, postings));
    let Some(first) = beginnings.next() else {
        return vec![];
    };
    let mut numbers: Vec<u32> = beginnings
        .fold(first, |all, others| shared(&all, &others))
        .into_iter()
        .map(|place| place >> 8)
        .collect();
    // In order already; a title may hold the word more than once.
    numbers.dedup();
    numbers.reverse();
    numbers
}

/// Where a word would begin whose gram at this distance from its beginning is here; in order.
fn beginnings(distance: u8, postings: &[u8]) -> Vec<u32> {
    let mut places: Vec<u32> = postings
        .chunks_exact(SIZE)
        .map(place)
        .map(|place| {
            let in_title = u8::try_from(place & 0xff).unwrap_or_default();
            place & !0xff | u32::from(in_title.wrapping_sub(distance))
        })
        .collect();
    places.sort_unstable();
    places
}

/// What two ordered lists have in common.
fn shared(some: &[u32], others: &[u32]) -> Vec<u32> {
    let mut others = others.iter().peekable();
    let mut is_there = |place: &u32| {
        while others.next_if(|other| *other < place).is_some() {}
        others.peek() == Some(&place)
    };
    some.iter()
        .copied()
        .filter(|place| is_there(place))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postings(places: &[(u16, u8)]) -> Vec<u8> {
        let posting = |(number, place): &(u16, u8)| {
            let [high, low] = number.to_be_bytes();
            [high, low, *place]
        };
        places.iter().flat_map(posting).collect()
    }

    #[test]
    fn a_word_is_where_its_grams_stand_at_the_right_distances() {
        let first = postings(&[(3, 0), (1000, 7), (8, 4), (3, 9)]);
        let second = postings(&[(3, 11), (8, 5), (1000, 9), (9, 2)]);
        let numbers = common(&[(0, &first), (2, &second)]);
        assert_eq!(numbers, [1000, 3]);
    }

    #[test]
    fn a_title_counts_once_however_often_it_has_the_word() {
        assert_eq!(common(&[(0, &postings(&[(5, 1), (5, 4), (2, 0)]))]), [5, 2]);
    }

    #[test]
    fn places_far_into_a_long_title_wrap_around() {
        let (first, second) = (postings(&[(1, 255)]), postings(&[(1, 1)]));
        assert_eq!(common(&[(0, &first), (2, &second)]), [1]);
    }

    #[test]
    fn a_number_that_is_taken_out_leaves_the_others() {
        let kept = without(&postings(&[(5, 1), (6, 1), (5, 4), (1029, 5)]), 5);
        assert_eq!(kept, postings(&[(6, 1), (1029, 5)]));
    }

    #[test]
    fn no_gram_is_nowhere() {
        assert_eq!(common(&[]), [0; 0]);
        assert_eq!(common(&[(0, &[]), (2, &postings(&[(1, 2)]))]), [0; 0]);
    }
}
