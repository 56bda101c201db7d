//! What a row of `title_grams` holds, as the migration that made it says.

/// Bytes of a posting.
const SIZE: usize = 3;

/// The number (within its bucket) that a posting is of, and below it the place in the title.
fn place([high, low, in_title]: [u8; SIZE]) -> u32 {
    u32::from_be_bytes([0, high, low, in_title])
}

/// Postings without those of a number.
pub(super) fn without(postings: &[u8], gone: u32) -> Vec<u8> {
    let (postings, _) = postings.as_chunks();
    let kept = postings
        .iter()
        .filter(|posting| place(**posting) >> 8 != gone);
    kept.flatten().copied().collect()
}

/// The numbers, biggest first, at which every gram of a word stands at its own distance from the word's
/// beginning.
pub(super) fn common(grams: &[(u8, &[u8])]) -> Vec<u32> {
    let Some(((distance, postings), others)) = grams.split_first() else {
        return vec![];
    };
    let mut places = beginnings(*distance, postings);
    for (distance, postings) in others {
        if places.is_empty() {
            return places;
        }
        keep_shared(&mut places, &beginnings(*distance, postings));
    }
    for place in &mut places {
        *place >>= 8;
    }
    // In order already; a title may hold the word more than once.
    places.dedup();
    places.reverse();
    places
}

/// Where a word would begin whose gram at this distance from its beginning is here; in order.
fn beginnings(distance: u8, postings: &[u8]) -> Vec<u32> {
    let (postings, _) = postings.as_chunks();
    let beginning =
        |[high, low, in_title]: [u8; SIZE]| place([high, low, in_title.wrapping_sub(distance)]);
    let mut places: Vec<u32> = postings.iter().copied().map(beginning).collect();
    places.sort_unstable();
    places
}

/// Keeps what two ordered lists have in common.
fn keep_shared(places: &mut Vec<u32>, others: &[u32]) {
    let mut next = 0;
    places.retain(|place| {
        while others.get(next).is_some_and(|other| other < place) {
            next += 1;
        }
        others.get(next) == Some(place)
    });
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
