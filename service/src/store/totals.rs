//! The counter rows of lists (`post_totals`): how many visible posts a scope holds, in all and by
//! buckets of post numbers, written in the transactions that change them.

/// The scope that counts every visible post; any other is a category's id.
pub(super) const WHOLE_BOARD: &str = "";
/// Numbers that a bucket of level 1 spans.
pub(super) const LEVEL_1: i64 = 65_536;
/// Numbers that a bucket of level 2 spans.
pub(super) const LEVEL_2: i64 = 1_024;
/// Buckets of level 2 in one of level 1.
pub(super) const PARTS: i64 = LEVEL_1 / LEVEL_2;

/// The bucket in which the entry after `skipped` others lies, and how many of its own come before:
/// `buckets` are counts in the list's direction. None if there are not so many.
pub(super) fn seek(
    buckets: impl IntoIterator<Item = (i64, i64)>,
    mut skipped: i64,
) -> Option<(i64, i64)> {
    for (bucket, visible) in buckets {
        if skipped < visible {
            return Some((bucket, skipped));
        }
        skipped -= visible;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_page_leads_into_the_bucket_that_holds_it() {
        let buckets = [(9, 3), (8, 0), (7, 5)];
        assert_eq!(seek(buckets, 0), Some((9, 0)));
        assert_eq!(seek(buckets, 2), Some((9, 2)));
        assert_eq!(seek(buckets, 3), Some((7, 0)));
        assert_eq!(seek(buckets, 7), Some((7, 4)));
        assert_eq!(seek(buckets, 8), None);
    }
}
