//! Pages of lists.

/// How long a page may be, from the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Entries when the client names no number.
    pub default_size: u32,
    /// The most entries a page holds, whatever the client asks for.
    pub max_size: u32,
}

/// Which page of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// From 1.
    pub number: u64,
    /// Entries a page, at least 1.
    pub size: u32,
}

impl PageRequest {
    /// What the Flask service served to a `per_page` below 1; clients were built on it.
    const SIZE_BELOW_ONE: u32 = 20;

    /// The page a client asked for: numbers below 1 mean the first page, sizes are kept within the
    /// limits.
    pub fn new(number: Option<i64>, size: Option<i64>, limits: PageLimits) -> Self {
        let size = match size {
            None => limits.default_size,
            Some(size) if size < 1 => Self::SIZE_BELOW_ONE,
            Some(size) => u32::try_from(size).unwrap_or(u32::MAX),
        };
        Self {
            number: number
                .and_then(|number| u64::try_from(number).ok())
                .unwrap_or(1)
                .max(1),
            size: size.min(limits.max_size),
        }
    }

    /// Entries before this page. Never more than SQL's signed integers hold.
    pub fn offset(self) -> i64 {
        let before = (self.number - 1).saturating_mul(u64::from(self.size));
        i64::try_from(before).unwrap_or(i64::MAX)
    }
}

/// One page of a list and where it stands in the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// What was asked for.
    pub request: PageRequest,
    /// Entries in the whole list.
    pub total: u64,
    /// There are more than `total`: counting stopped there.
    pub total_is_lower_bound: bool,
}

impl<T> Page<T> {
    /// How many pages there are.
    pub fn pages(&self) -> u64 {
        self.total.div_ceil(u64::from(self.request.size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PageLimits = PageLimits {
        default_size: 10,
        max_size: 50,
    };

    #[test]
    fn a_request_is_kept_within_the_limits() {
        let cases = [
            ((None, None), (1, 10)),
            ((Some(0), Some(0)), (1, 20)),
            ((Some(-3), Some(-1)), (1, 20)),
            ((Some(2), Some(50)), (2, 50)),
            ((Some(2), Some(51)), (2, 50)),
            (
                (Some(i64::MAX), Some(i64::MAX)),
                (i64::MAX.unsigned_abs(), 50),
            ),
        ];
        for ((number, size), (expected_number, expected_size)) in cases {
            let page = PageRequest::new(number, size, LIMITS);
            assert_eq!((page.number, page.size), (expected_number, expected_size));
        }
    }

    #[test]
    fn the_offset_of_an_absurd_page_does_not_overflow() {
        assert_eq!(PageRequest::new(Some(3), Some(10), LIMITS).offset(), 20);
        assert_eq!(
            PageRequest::new(Some(i64::MAX), Some(50), LIMITS).offset(),
            i64::MAX
        );
    }

    #[test]
    fn the_last_page_may_be_short() {
        let page = |total| Page::<()> {
            items: vec![],
            request: PageRequest {
                number: 1,
                size: 10,
            },
            total,
            total_is_lower_bound: false,
        };
        assert_eq!(
            [0, 1, 10, 11].map(|total| page(total).pages()),
            [0, 1, 1, 2]
        );
    }
}
