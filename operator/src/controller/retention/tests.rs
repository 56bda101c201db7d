use super::*;

const REPOSITORY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/p";

fn digest(character: char) -> Digest {
    Digest::parse(&format!("sha256:{}", character.to_string().repeat(64))).unwrap()
}

fn image(character: char, tag: &str) -> ImageRef {
    ImageRef {
        repository: Some(REPOSITORY.into()),
        tag: Some(tag.into()),
        digest: digest(character).to_string(),
        pushed_at: None,
    }
}

fn status(current: char, good: char) -> ImageStatus {
    ImageStatus {
        desired: Some(image(current, "2")),
        current: Some(image(current, "2")),
        last_good: Some(image(good, "1")),
    }
}

fn one(keeping: Keeping) -> Finding {
    let images = needed(REPOSITORY, Some(&digest('a')), &status('a', 'a'));
    let answers: Vec<_> = images
        .into_iter()
        .map(|image| (image, Some(Ok(keeping))))
        .collect();
    finding(&answers, &[]).unwrap()
}

#[test]
fn what_runs_and_what_is_last_good_are_needed_and_counted_once() {
    let both = needed(REPOSITORY, Some(&digest('a')), &status('a', 'b'));
    let tags: Vec<_> = both.iter().map(|image| image.tag.as_deref()).collect();
    assert_eq!(tags, [Some("2"), Some("1")]);
    assert_eq!(
        needed(REPOSITORY, Some(&digest('a')), &status('a', 'a')).len(),
        1
    );
    assert_eq!(needed(REPOSITORY, None, &ImageStatus::default()).len(), 0);
    assert_eq!(
        needed("docker.io/p", Some(&digest('a')), &ImageStatus::default()).len(),
        0
    );
}

#[test]
fn each_trouble_says_what_to_do() {
    let taking = Taking {
        rule: 7,
        archives: false,
    };
    for (keeping, truth, reason, word) in [
        (
            Keeping::Kept(Outlook::Safe),
            Truth::True,
            "Retained",
            "can be pulled",
        ),
        (Keeping::Gone, Truth::False, "Gone", "Push it again"),
        (Keeping::Archived, Truth::False, "Archived", "Restore it"),
        (
            Keeping::Kept(Outlook::Due(taking)),
            Truth::False,
            "Expiring",
            "deployed-2",
        ),
        (
            Keeping::Kept(Outlook::Next(taking)),
            Truth::False,
            "Expiring",
            "rule 7",
        ),
        (
            Keeping::Kept(Outlook::Unreadable),
            Truth::Unknown,
            "LifecycleUnknown",
            "ecr:GetLifecyclePolicy",
        ),
        (
            Keeping::Kept(Outlook::Unmeasured(3)),
            Truth::Unknown,
            "LifecycleUnknown",
            "Preview",
        ),
    ] {
        let finding = one(keeping);
        assert_eq!((finding.truth, finding.reason), (truth, reason));
        assert!(finding.message.contains(word), "{}", finding.message);
    }
}

#[test]
fn the_worst_of_both_is_the_reason_and_both_have_their_sentence() {
    let [current, good] = needed(REPOSITORY, Some(&digest('a')), &status('a', 'b'))
        .try_into()
        .unwrap();
    let unavailable = RegistryError::Unavailable {
        repository: REPOSITORY.into(),
        detail: "no answer".into(),
    };
    let answers = [
        (current, Some(Err(unavailable))),
        (good, Some(Ok(Keeping::Gone))),
    ];
    let finding = finding(&answers, &[]).unwrap();
    assert_eq!((finding.truth, finding.reason), (Truth::False, "Gone"));
    assert!(finding.message.contains("no answer") && finding.message.contains("last good"));
}

#[test]
fn until_there_is_an_answer_the_condition_stays() {
    let images = needed(REPOSITORY, Some(&digest('a')), &status('a', 'a'));
    let waiting: Vec<_> = images.into_iter().map(|image| (image, None)).collect();
    assert_eq!(finding(&waiting, &[]), None);
    let gone = one(Keeping::Gone);
    let before = gone
        .clone()
        .into_condition(None, &[], k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(finding(&waiting, &[before]), Some(gone));
}
