use super::*;

const DIALECT: Dialect = Dialect {
    columns: "p.id",
    names_indexes: true,
};

fn filter(category: Option<&str>, user: Option<&str>, search: Option<&str>) -> Filter {
    Filter {
        category_id: category.map(str::to_owned),
        user_id: user.map(str::to_owned),
        search: search.map(str::to_owned),
    }
}

#[test]
fn wildcards_in_a_search_are_literal() {
    assert_eq!(containing(r"50%_!\"), r"%50!%!_!!\%");
}

#[test]
fn lists_of_a_category_or_an_author_have_a_counter_row_and_of_both_or_a_search_none() {
    let scope = |scope| Some(Counter::Scope(scope));
    assert_eq!(counter(&filter(None, None, None)), scope(""));
    assert_eq!(counter(&filter(Some("c"), None, None)), scope("c"));
    let author = Some(Counter::Author("u"));
    assert_eq!(counter(&filter(None, Some("u"), None)), author);
    assert_eq!(counter(&filter(Some("c"), Some("u"), None)), None);
    assert_eq!(counter(&filter(None, None, Some("q"))), None);
    assert_eq!(counter(&filter(None, Some("u"), Some("q"))), None);
}

#[test]
fn a_value_never_becomes_part_of_the_text() {
    let filter = filter(None, None, Some("'; DROP TABLE posts; --"));
    let statement = page(
        DIALECT,
        &filter,
        Order::LATEST,
        From::Offset(0),
        10,
        Total::Counted,
    );
    assert!(!statement.text.contains("DROP") && !count(&filter).text.contains("DROP"));
    let placeholders = statement.text.matches('?').count();
    assert_eq!(placeholders, statement.values.len());
}

#[test]
fn numbers_are_padded_so_that_few_texts_come_of_them() {
    let filter = filter(None, None, Some("q"));
    let counted = |numbers: &[i64]| count(Matching::among(&filter, numbers));
    assert_eq!(counted(&[7, 5]).text, counted(&[1; 16]).text);
    let statement = counted(&[7, 5]);
    assert!(statement.text.contains(" AND No IN (?, ?, "));
    let values = [7, 5, 5].map(Value::Integer);
    assert_eq!(statement.values[..3], values);
    assert_eq!(counted(&[1; 17]).text.matches('?').count(), 128 + 2);
    assert_eq!(counted(&[1; 1_001]).text.matches('?').count(), 1_024 + 2);
}

#[test]
fn only_what_compares_titles_has_a_limit_of_its_own() {
    let (all, searched) = (filter(None, None, None), filter(None, None, Some("q")));
    for (statement, limit) in [
        (numbers(DIALECT, &searched), 1_400),
        (count(&searched), 650),
    ] {
        let beginning = format!(
            "/*M! SET STATEMENT max_statement_time = {} FOR */ \
             SELECT /*+ MAX_EXECUTION_TIME({limit}) */ ",
            f64::from(limit) / 1e3,
        );
        assert!(statement.text.starts_with(&beginning), "{}", statement.text);
    }
    assert!(count(&all).text.starts_with("SELECT COUNT(*)"));
}

#[test]
fn walks_over_the_whole_board_name_their_index_and_no_others_do() {
    let text = |filter: &Filter, order| {
        page(
            DIALECT,
            filter,
            order,
            From::Offset(0),
            10,
            Total::Elsewhere,
        )
        .text
    };
    let searched = filter(None, None, Some("q"));
    assert!(text(&searched, Order::LATEST).contains("posts FORCE INDEX (ix_posts_latest)"));
    assert!(!text(&searched, Order::POPULAR).contains("FORCE"));
    let all = filter(None, None, None);
    assert!(text(&all, Order::POPULAR).contains("posts p FORCE INDEX (ix_posts_likes)"));
    for part in [filter(Some("c"), None, None), filter(None, Some("u"), None)] {
        assert!(!text(&part, Order::LATEST).contains("FORCE"));
    }
}

#[test]
fn a_page_tells_the_total_in_a_column() {
    let filter = filter(Some("c"), None, None);
    let from = From::Offset(0);
    let order = Order::LATEST;
    let total = Total::Counter(Counter::Scope("c"));
    let statement = page(DIALECT, &filter, order, from, 10, total);
    assert!(
        statement.text.starts_with(
            "SELECT p.id, (SELECT visible FROM post_totals WHERE level = 0 AND bucket = 0 \
             AND scope = ?) AS total FROM posts p WHERE"
        ),
        "{}",
        statement.text
    );
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(statement.values, [text("c"), text("c"), Value::Integer(11)]);
}

#[test]
fn rows_are_read_along_the_index_only_where_hardly_any_but_the_pages_are() {
    let (all, searched) = (filter(None, None, None), filter(None, None, Some("q")));
    let (latest, popular) = (Order::LATEST, Order::POPULAR);
    let after = |order| {
        From::After(Cursor {
            order,
            value: 3,
            number: 7,
        })
    };
    let bucket = |offset| From::Bucket { bucket: 2, offset };
    for (filter, order, from, at_once) in [
        (&all, latest, From::Offset(0), true),
        (&all, popular, From::Offset(0), true),
        (&all, latest, after(latest), true),
        (&all, latest, bucket(0), true),
        (&all, latest, From::Offset(1), false),
        (&all, popular, after(popular), false),
        (&all, latest, bucket(1), false),
        (&searched, latest, From::Offset(0), false),
    ] {
        let text = page(DIALECT, filter, order, from, 10, Total::Elsewhere).text;
        assert_eq!(!text.contains("(SELECT id"), at_once, "{text}");
        // A name alone could mean the column that the statement makes of it.
        assert!(!at_once || text.contains("ORDER BY p."), "{text}");
    }
    for (numbers, order, from, at_once) in [
        (&[1; 16][..], latest, From::Offset(3), true),
        (&[1; 16], popular, From::Offset(3), true),
        (&[1; 16], latest, after(latest), true),
        (&[1; 16], popular, after(popular), false),
        (&[1; 17], latest, From::Offset(0), false),
    ] {
        let matching = Matching::among(&searched, numbers);
        let text = page(DIALECT, matching, order, from, 10, Total::Elsewhere).text;
        assert_eq!(!text.contains("(SELECT id"), at_once, "{text}");
    }
    let without_indexes = Dialect {
        names_indexes: false,
        ..DIALECT
    };
    let from = From::Offset(0);
    let text = page(without_indexes, &all, latest, from, 10, Total::Elsewhere).text;
    assert!(text.contains("(SELECT id"), "{text}");
}

#[test]
fn what_comes_before_a_bucket_is_summed_from_both_levels() {
    let filter = filter(None, None, None);
    let bound = |direction| {
        let order = Order {
            direction,
            ..Order::LATEST
        };
        let (bucket, offset) = (130, 5);
        let total = Total::Guided { scope: "", bucket };
        let from = From::Bucket { bucket, offset };
        let statement = page(DIALECT, &filter, order, from, 10, total);
        assert!(statement.text.contains(" AS skipped FROM (SELECT id"));
        let values = statement
            .values
            .into_iter()
            .filter_map(|value| match value {
                Value::Integer(number) => Some(number),
                Value::Text(_) => None,
            });
        values.collect::<Vec<_>>()
    };
    // Bucket 130 lies in bucket 2 of level 1, which is 128..192 of level 2.
    let descending = [1, 3, i64::MAX, 2, 131, 192, 131 * 1_024, 11, 5];
    assert_eq!(bound(Direction::Descending), descending);
    let ascending = [1, 0, 2, 2, 128, 130, 130 * 1_024, 11, 5];
    assert_eq!(bound(Direction::Ascending), ascending);
}

#[test]
fn far_pages_have_their_own_ways() {
    let way = |filter: &Filter, order, number, counted| {
        let request = PageRequest {
            start: Start::Page(number),
            size: 10,
        };
        let counter = counter(filter).filter(|_| counted);
        format!("{:?}", super::way(counter, order, request))
    };
    let (all, one) = (filter(None, None, None), filter(None, Some("u"), None));
    assert_eq!(way(&all, Order::LATEST, 103, true), "Together");
    assert_eq!(way(&all, Order::LATEST, 104, true), "Guided(\"\")");
    assert_eq!(way(&all, Order::LATEST, 104, false), "TotalFirst");
    assert_eq!(way(&all, Order::POPULAR, 104, true), "TotalFirst");
    assert_eq!(way(&one, Order::LATEST, 104, true), "TotalFirst");
}

#[test]
fn a_cursor_of_a_counter_reads_two_ranges_and_no_offset() {
    let cursor = Cursor {
        order: Order::POPULAR,
        value: 7,
        number: 70,
    };
    let none = filter(None, None, None);
    let from = From::After(cursor);
    let statement = page(DIALECT, &none, Order::POPULAR, from, 2, Total::Elsewhere);
    assert_eq!(
        statement.text,
        "SELECT p.id FROM (SELECT id FROM (\
         SELECT * FROM (SELECT id, No, like_count FROM posts FORCE INDEX (ix_posts_likes) \
         WHERE status = 'visible' \
         AND like_count = ? AND No < ? ORDER BY like_count DESC, No DESC LIMIT ?) equal \
         UNION ALL \
         SELECT * FROM (SELECT id, No, like_count FROM posts FORCE INDEX (ix_posts_likes) \
         WHERE status = 'visible' \
         AND like_count < ? ORDER BY like_count DESC, No DESC LIMIT ?) beyond) either \
         ORDER BY like_count DESC, No DESC LIMIT ?) page \
         CROSS JOIN posts p ON page.id = p.id ORDER BY p.like_count DESC, p.No DESC"
    );
    let values = [7, 70, 3, 7, 3, 3].map(Value::Integer);
    assert_eq!(statement.values, values);
}
