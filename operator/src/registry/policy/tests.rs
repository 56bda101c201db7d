use super::*;

const REPOSITORY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/p";

fn newest(pattern: &str) -> Policy {
    Policy::NewestPushed(Pattern::parse(pattern).unwrap())
}

fn semver(range: &str) -> Policy {
    Policy::Semver(Range::parse(range).unwrap())
}

fn digest(number: u64) -> Digest {
    Digest::parse(&format!("sha256:{number:064x}")).unwrap()
}

/// Pushed `milliseconds` after the epoch, with the digest of that number.
fn image(milliseconds: u64, tags: &[&str]) -> ListedImage {
    let time = Timestamp::from_millisecond(milliseconds.try_into().unwrap());
    ListedImage {
        digest: digest(milliseconds),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        pushed_at: time.ok(),
        archived: false,
    }
}

fn archived(milliseconds: u64, tags: &[&str]) -> ListedImage {
    ListedImage {
        archived: true,
        ..image(milliseconds, tags)
    }
}

/// As the status keeps it.
fn known(milliseconds: u64, tag: &str) -> ImageRef {
    let time = Timestamp::from_second((milliseconds / 1000).try_into().unwrap()).unwrap();
    ImageRef {
        repository: Some(REPOSITORY.into()),
        tag: Some(tag.into()),
        digest: digest(milliseconds).to_string(),
        pushed_at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time)),
    }
}

fn select(policy: &Policy, images: &[ListedImage], desired: Option<&ImageRef>) -> Option<String> {
    let memory = Memory {
        desired,
        watermark: None,
    };
    let listing = Listing::new(images.to_vec());
    let image = policy.select(REPOSITORY, &listing, memory).ok()?;
    let milliseconds = u64::from_str_radix(image.digest.as_str().rsplit(':').next()?, 16).ok()?;
    Some(format!("{}@{milliseconds}", image.tag?))
}

fn selected(policy: &Policy, images: &[ListedImage], desired: Option<&ImageRef>) -> String {
    select(policy, images, desired).expect("an image is selected")
}

#[test]
fn the_image_pushed_last_is_selected_not_the_tag_that_sorts_last() {
    let commits = newest("^[0-9a-f]{7,40}$");
    let images = [
        image(1000, &["fffffff"]),
        image(3000, &["0000000"]),
        image(2000, &["aaaaaaa"]),
        image(9000, &["main", "0123456789abcdefg"]),
    ];
    assert_eq!(selected(&commits, &images, None), "0000000@3000");
}

#[test]
fn a_pattern_is_that_of_a_whole_tag() {
    for (pattern, tag, expected) in [
        ("release", "release", true),
        ("release", "release-1", false),
        ("a|b", "ab", false),
        ("a|b", "b", true),
        ("^latest$", "latest", true),
    ] {
        assert_eq!(newest(pattern).admits(tag), expected, "{pattern} {tag}");
    }
}

#[test]
fn a_pattern_that_is_none_or_that_would_be_slow_is_refused() {
    for pattern in ["(", "a)(b", "[z-a]", "((a{200}){200}){200}"] {
        assert!(Pattern::parse(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn a_moving_tag_is_followed_to_a_newer_image_only() {
    let latest = newest("^latest$");
    let first = known(1000, "latest");
    let moved = [image(1000, &[]), image(2000, &["latest"])];
    assert_eq!(selected(&latest, &moved, Some(&first)), "latest@2000");
    let back = [image(1000, &[]), image(500, &["latest"])];
    assert_eq!(selected(&latest, &back, Some(&first)), "latest@1000");
    // In the same second as far as the registry tells.
    let same = ListedImage {
        digest: digest(7),
        ..image(1000, &["latest"])
    };
    let moved = [image(1000, &[]), same];
    assert_eq!(selected(&latest, &moved, Some(&first)), "latest@7");
}

#[test]
fn what_was_selected_stays_when_it_is_gone_or_archived() {
    let commits = newest("^[0-9a-f]{7}$");
    let newer = known(3400, "ccccccc");
    let older = image(2000, &["bbbbbbb"]);
    let within_the_second = image(3100, &["ddddddd"]);
    for rest in [
        vec![],
        vec![older.clone()],
        vec![older.clone(), within_the_second],
        vec![older.clone(), archived(3400, &["ccccccc"])],
    ] {
        assert_eq!(selected(&commits, &rest, Some(&newer)), "ccccccc@3400");
    }
    let next = [older, image(4000, &["eeeeeee"])];
    assert_eq!(selected(&commits, &next, Some(&newer)), "eeeeeee@4000");
}

#[test]
fn another_spec_may_go_back() {
    let commits = newest("^[0-9a-f]{7}$");
    let images = [image(2000, &["bbbbbbb"])];
    assert_eq!(selected(&commits, &images, None), "bbbbbbb@2000");
    // Another pattern is another spec: what does not fit it is no floor.
    let release = newest("release-.*");
    let images = [image(1000, &["release-1"]), image(2000, &["bbbbbbb"])];
    let before = known(2000, "bbbbbbb");
    assert_eq!(selected(&release, &images, Some(&before)), "release-1@1000");
}

#[test]
fn of_several_tags_of_an_image_the_known_one_stays() {
    let commits = newest("^[0-9a-f]{7}$");
    let images = [image(2000, &["bbbbbbb", "ccccccc"])];
    let before = known(2000, "bbbbbbb");
    assert_eq!(selected(&commits, &images, Some(&before)), "bbbbbbb@2000");
}

#[test]
fn nothing_pushed_before_the_watermark_is_selected_anew() {
    let commits = newest("^[0-9a-f]{7}$");
    let listing = Listing::new(vec![image(1200, &["aaaaaaa"]), image(2000, &["bbbbbbb"])]);
    let memory = |desired, second| Memory {
        desired,
        watermark: Timestamp::from_second(second).ok(),
    };
    let tag = |memory| {
        let image = commits.select(REPOSITORY, &listing, memory);
        image.ok().and_then(|image| image.tag)
    };
    assert_eq!(tag(memory(None, 1)).as_deref(), Some("bbbbbbb"));
    assert_eq!(tag(memory(None, 2)), None);
    let running = known(1200, "aaaaaaa");
    assert_eq!(tag(memory(Some(&running), 2)).as_deref(), Some("aaaaaaa"));
}

#[test]
fn the_highest_version_of_the_range_is_selected_whenever_it_was_pushed() {
    let range = semver(">=1.0.0 <2.0.0");
    let images = [
        image(1000, &["1.10.0"]),
        image(2000, &["v1.9.9", "stable"]),
        image(3000, &["2.0.0", "2.0.0-rc.1"]),
        image(4000, &["1.11.0-rc.1", "1.2", "latest"]),
        archived(5000, &["1.12.0"]),
    ];
    assert_eq!(selected(&range, &images, None), "1.10.0@1000");
}

#[test]
fn ranges_are_read_with_spaces_and_with_commas() {
    for range in [
        ">=1.0.0 <2.0.0",
        ">=1.0.0, <2.0.0",
        " >= 1.0.0 ,< 2.0.0 ",
        ">=1,<2",
        "^1",
        "1",
    ] {
        let range = semver(range);
        assert!(range.admits("1.4.2") && range.admits("v1.4.2"), "{range}");
        assert!(
            !range.admits("2.0.0") && !range.admits("vv1.4.2"),
            "{range}"
        );
    }
    for text in [
        "",
        " ",
        "newest",
        ">=",
        ">=1.0.0 || <0.5.0",
        "1.0.0 - 2.0.0",
    ] {
        assert!(Range::parse(text).is_none(), "{text:?}");
    }
}

#[test]
fn a_pre_release_is_selected_only_where_the_range_names_one() {
    let images = [image(1000, &["1.2.0"]), image(2000, &["1.3.0-rc.2"])];
    assert_eq!(selected(&semver(">=1.0.0"), &images, None), "1.2.0@1000");
    assert_eq!(
        selected(&semver(">=1.3.0-rc.1"), &images, None),
        "1.3.0-rc.2@2000"
    );
}

#[test]
fn a_version_never_falls_and_follows_its_tag() {
    let range = semver(">=1.0.0");
    let before = known(1000, "1.3.0");
    let lower = [image(2000, &["1.2.9"])];
    assert_eq!(selected(&range, &lower, Some(&before)), "1.3.0@1000");
    let rebuilt = [image(1000, &[]), image(900, &["1.3.0"])];
    assert_eq!(selected(&range, &rebuilt, Some(&before)), "1.3.0@900");
    let twice = [image(1000, &["1.3.0"]), image(2000, &["v1.3.0"])];
    assert_eq!(selected(&range, &twice, Some(&before)), "1.3.0@1000");
    assert_eq!(selected(&range, &twice, None), "v1.3.0@2000");
}

#[test]
fn nothing_to_select_says_what_was_looked_for_and_at_how_much() {
    let listing = Listing::new(vec![image(1, &["a", "b"]), archived(2, &["1.0.0"])]);
    let said = |policy: Policy| {
        let error = policy.select(REPOSITORY, &listing, Memory::default());
        error.unwrap_err().to_string()
    };
    let range = said(semver(">=1.0.0"));
    assert!(
        range.contains("none of the 2 tags") && range.contains(">=1.0.0"),
        "{range}"
    );
    assert!(said(newest("^c$")).contains("^c$"));
}

/// Whatever comes and goes, what is selected is never older than what was.
#[test]
fn no_sequence_of_listings_leads_back() {
    let commits = newest("^[0-9a-f]{7}$");
    let versions = semver(">=0.0.0");
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut by_push, mut by_version) = (None::<ImageRef>, None::<ImageRef>);
        for _ in 0..30 {
            let images: Vec<_> = (0..random.u64(1..6))
                .map(|_| {
                    let number = random.u64(1..20);
                    let (commit, version) = (format!("{number:07x}"), format!("0.{number}.0"));
                    image(number * 400, &[&commit, &version])
                })
                .collect();
            let step = |policy: &Policy, before: &mut Option<ImageRef>| {
                let memory = Memory {
                    desired: before.as_ref(),
                    watermark: None,
                };
                let listing = Listing::new(images.clone());
                let next = policy.select(REPOSITORY, &listing, memory).unwrap();
                // Number and push time rise together.
                let is_back = before
                    .as_ref()
                    .is_some_and(|b| next.digest.as_str() < b.digest.as_str());
                assert!(!is_back, "seed {seed}: {next:?} after {before:?}");
                *before = Some(ImageRef {
                    repository: None,
                    tag: next.tag,
                    digest: next.digest.to_string(),
                    pushed_at: next
                        .pushed_at
                        .map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time),
                });
            };
            step(&commits, &mut by_push);
            step(&versions, &mut by_version);
        }
    }
}
