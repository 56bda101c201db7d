//! What a repository's lifecycle policy will do to an image. Pure.
//!
//! After the Amazon ECR user guide, "Automate the cleanup of images by using lifecycle policies" and
//! "Lifecycle policy properties": rules are applied in the order of their priority; an image that
//! has the tags of a rule is left to it, and rules of lower priority do not touch it.

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::{ListedImage, Listing};

/// A lifecycle policy.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(rename = "rulePriority")]
    priority: i64,
    selection: Selection,
    action: Action,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Selection {
    tag_status: TagStatus,
    #[serde(default)]
    tag_prefix_list: Vec<String>,
    #[serde(default)]
    tag_pattern_list: Vec<String>,
    #[serde(default)]
    storage_class: StorageClass,
    count_type: CountType,
    count_number: i64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum TagStatus {
    Tagged,
    Untagged,
    Any,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum StorageClass {
    #[default]
    Standard,
    Archive,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum CountType {
    ImageCountMoreThan,
    SinceImagePushed,
    /// By something that a listing does not tell.
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Action {
    #[serde(rename = "type")]
    type_: ActionType,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ActionType {
    Expire,
    Transition,
}

/// Whether an image can be pulled, and will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It is not in the repository.
    Gone,
    /// It cannot be pulled until it is restored.
    Archived,
    /// It can be pulled now.
    Kept(Outlook),
}

/// What will become of an image that can be pulled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// No rule is near to taking it.
    Safe,
    /// A rule takes it within 24 hours.
    Due(Taking),
    /// A rule takes it when the next image is pushed, or when little time has passed.
    Next(Taking),
    /// It falls under a rule whose measure is unknown here.
    Unmeasured(i64),
    /// The operator may not read the rules.
    Unreadable,
}

/// What the registry says that its rules would do to an image now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preview {
    /// It does not tell.
    Untold,
    /// Nothing.
    Spared,
    /// A rule would take it.
    Due(Taking),
}

/// A rule that takes an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taking {
    /// Priority of the rule.
    pub rule: i64,
    /// It moves the image to the archive, and does not delete it.
    pub archives: bool,
}

impl Rules {
    /// Parses the text of a lifecycle policy.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let mut rules: Self = serde_json::from_str(text)?;
        // What is archived already is not what runs.
        rules
            .rules
            .retain(|rule| rule.selection.storage_class == StorageClass::Standard);
        rules.rules.sort_by_key(|rule| rule.priority);
        Ok(rules)
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the rules will do to `image`, one of `listing`, after `now`.
    pub fn outlook(&self, image: &ListedImage, listing: &Listing, now: Timestamp) -> Outlook {
        let Some(rule) = self.rules.iter().find(|rule| rule.selection.has(image)) else {
            return Outlook::Safe;
        };
        let taking = Taking {
            rule: rule.priority,
            archives: rule.action.type_ == ActionType::Transition,
        };
        let (passed, limit, margin) = match rule.selection.count_type {
            // It is taken once as many newer ones are there as are kept.
            CountType::ImageCountMoreThan => (
                newer(image, &rule.selection, listing),
                rule.selection.count_number,
                1,
            ),
            CountType::SinceImagePushed => {
                let Some(pushed_at) = image.pushed_at else {
                    return Outlook::Unmeasured(rule.priority);
                };
                let hours = now.duration_since(pushed_at).as_hours();
                let limit = rule.selection.count_number.saturating_mul(24);
                // A tenth of its life, and at least a day, is time to do something.
                (hours, limit, (limit / 10).max(24))
            }
            CountType::Other => return Outlook::Unmeasured(rule.priority),
        };
        if passed >= limit {
            Outlook::Due(taking)
        } else if passed >= limit - margin {
            Outlook::Next(taking)
        } else {
            Outlook::Safe
        }
    }
}

/// The outlook by what can be read: by the `rules`, where that is allowed, and by a `preview`, where
/// that is, which knows exactly what is due now and nothing of what comes next.
pub fn outlook(rules: Option<Outlook>, preview: Preview) -> Outlook {
    match (rules, preview) {
        (_, Preview::Due(taking)) => Outlook::Due(taking),
        (Some(Outlook::Next(taking)), _) => Outlook::Next(taking),
        (_, Preview::Spared) => Outlook::Safe,
        (Some(outlook), Preview::Untold) => outlook,
        (None, Preview::Untold) => Outlook::Unreadable,
    }
}

/// How many images of the selection were pushed after `image`.
fn newer(image: &ListedImage, selection: &Selection, listing: &Listing) -> i64 {
    let newer = listing.images().iter().filter(|other| {
        !other.archived && other.pushed_at > image.pushed_at && selection.has(other)
    });
    i64::try_from(newer.count()).unwrap_or(i64::MAX)
}

impl Selection {
    /// Whether the image has the tags that the rule names: of several, all.
    fn has(&self, image: &ListedImage) -> bool {
        let any = |test: &dyn Fn(&str) -> bool| image.tags.iter().any(|tag| test(tag));
        match self.tag_status {
            TagStatus::Any => true,
            TagStatus::Untagged => image.tags.is_empty(),
            TagStatus::Tagged => {
                let prefixes = &self.tag_prefix_list;
                let patterns = &self.tag_pattern_list;
                prefixes
                    .iter()
                    .all(|prefix| any(&|tag| tag.starts_with(prefix.as_str())))
                    && patterns
                        .iter()
                        .all(|pattern| any(&|tag| fits(pattern, tag)))
                    && !image.tags.is_empty()
            }
        }
    }
}

/// Whether a tag fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, tag: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == tag,
        Some((head, rest)) => tag.strip_prefix(head).is_some_and(|tail| {
            let ends = (0..=tail.len()).filter(|end| tail.is_char_boundary(*end));
            ends.map(|end| &tail[end..]).any(|tail| fits(rest, tail))
        }),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;
    use serde_json::{Value, json};

    use super::super::Digest;
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn now() -> Timestamp {
        Timestamp::from_second(1000 * DAY).unwrap()
    }

    fn image(days_old: i64, tags: &[&str]) -> ListedImage {
        let time = now() - SignedDuration::from_secs(days_old * DAY);
        ListedImage {
            digest: Digest::parse(&format!("sha256:{days_old:064x}")).unwrap(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            pushed_at: Some(time),
            archived: false,
        }
    }

    fn rule(priority: i64, selection: &Value) -> Value {
        json!({"rulePriority": priority, "selection": selection, "action": {"type": "expire"}})
    }

    fn rules(rules: &[Value]) -> Rules {
        Rules::parse(&json!({"rules": rules}).to_string()).unwrap()
    }

    /// For images of these ages, all tagged `v…`: what becomes of the first.
    fn outlook(rules: &Rules, ages: &[i64]) -> Outlook {
        let images: Vec<_> = ages.iter().map(|age| image(*age, &["v"])).collect();
        rules.outlook(&images[0], &Listing::new(images.clone()), now())
    }

    fn deleted_by(rule: i64) -> Taking {
        Taking {
            rule,
            archives: false,
        }
    }

    #[test]
    fn by_count_the_last_of_those_kept_goes_at_the_next_push() {
        let keep_three = rules(&[rule(
            1,
            &json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 3}),
        )]);
        assert_eq!(outlook(&keep_three, &[9, 1]), Outlook::Safe);
        assert_eq!(
            outlook(&keep_three, &[9, 1, 2]),
            Outlook::Next(deleted_by(1))
        );
        assert_eq!(
            outlook(&keep_three, &[9, 1, 2, 3]),
            Outlook::Due(deleted_by(1))
        );
        assert_eq!(outlook(&keep_three, &[1, 7, 8, 9]), Outlook::Safe);
    }

    #[test]
    fn by_age_a_tenth_of_its_life_is_time_to_act() {
        let thirty_days = rules(&[rule(
            2,
            &json!({"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days",
                "countNumber": 30}),
        )]);
        assert_eq!(outlook(&thirty_days, &[26]), Outlook::Safe);
        assert_eq!(outlook(&thirty_days, &[27]), Outlook::Next(deleted_by(2)));
        assert_eq!(outlook(&thirty_days, &[30]), Outlook::Due(deleted_by(2)));
    }

    #[test]
    fn an_image_that_a_rule_of_higher_priority_names_is_left_to_it() {
        let selection = |tags: Value, count: i64| {
            let mut selection = json!({"countType": "imageCountMoreThan", "countNumber": count});
            selection
                .as_object_mut()
                .unwrap()
                .extend(tags.as_object().unwrap().clone());
            selection
        };
        let exempt = json!({"tagStatus": "tagged", "tagPrefixList": ["deployed-"]});
        let exempting = rules(&[
            rule(9, &selection(json!({"tagStatus": "any"}), 1)),
            rule(1, &selection(exempt, 999)),
        ]);
        let old = image(9, &["v", "deployed-v"]);
        let listing = Listing::new(vec![old.clone(), image(1, &["w"]), image(2, &["x"])]);
        assert_eq!(exempting.outlook(&old, &listing, now()), Outlook::Safe);
        let plain = image(8, &["v"]);
        assert_eq!(
            exempting.outlook(&plain, &listing, now()),
            Outlook::Due(deleted_by(9))
        );
    }

    #[test]
    fn of_several_patterns_all_must_fit() {
        let selection: Selection = serde_json::from_value(json!({
            "tagStatus": "tagged", "tagPatternList": ["*prod*", "v1.*"],
            "countType": "imageCountMoreThan", "countNumber": 1,
        }))
        .unwrap();
        assert!(selection.has(&image(1, &["a-prod-1", "v1.2"])));
        assert!(!selection.has(&image(1, &["a-prod-1"])));
        assert!(!selection.has(&image(1, &[])));
    }

    #[test]
    fn a_preview_is_believed_about_now_and_the_rules_about_what_comes_next() {
        let (due, next) = (deleted_by(1), deleted_by(2));
        for (rules, preview, expected) in [
            (Some(Outlook::Safe), Preview::Due(due), Outlook::Due(due)),
            (None, Preview::Due(due), Outlook::Due(due)),
            (
                Some(Outlook::Next(next)),
                Preview::Spared,
                Outlook::Next(next),
            ),
            (Some(Outlook::Due(due)), Preview::Spared, Outlook::Safe),
            (Some(Outlook::Unmeasured(3)), Preview::Spared, Outlook::Safe),
            (
                Some(Outlook::Unmeasured(3)),
                Preview::Untold,
                Outlook::Unmeasured(3),
            ),
            (None, Preview::Untold, Outlook::Unreadable),
        ] {
            assert_eq!(super::outlook(rules, preview), expected);
        }
    }

    #[test]
    fn what_is_measured_by_pulls_is_unknown_and_what_concerns_the_archive_does_not_count() {
        let pulled = json!({"tagStatus": "any", "countType": "sinceImagePulled", "countNumber": 9});
        assert_eq!(
            outlook(&rules(&[rule(4, &pulled)]), &[1]),
            Outlook::Unmeasured(4)
        );
        let archived = json!({"tagStatus": "any", "storageClass": "archive",
            "countType": "sinceImageTransitioned", "countNumber": 1});
        assert!(rules(&[rule(1, &archived)]).is_empty());
    }
}
