//! The name of a repository in Amazon ECR.

/// `<account>.dkr.ecr.<region>.amazonaws.com[.cn]/<name>`, as the Amazon ECR user guide gives it.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    /// The AWS account.
    pub account: String,
    /// Its region.
    pub region: String,
    /// Name of the repository.
    pub name: String,
}

impl Address {
    /// Takes a repository with its host apart; `None`: it is elsewhere.
    pub fn parse(repository: &str) -> Option<Self> {
        let (host, name) = repository.split_once('/')?;
        let host = host
            .strip_suffix(".cn")
            .unwrap_or(host)
            .strip_suffix(".amazonaws.com")?;
        let (account, region) = host
            .split_once(".dkr.ecr.")
            .or_else(|| host.split_once(".dkr.ecr-fips."))?;
        let valid = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        (valid && !region.is_empty() && !region.contains('.') && !name.is_empty()).then(|| Self {
            account: account.into(),
            region: region.into(),
            name: name.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ecr_host_gives_account_region_and_name() {
        let parsed =
            Address::parse("123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/team/post-service");
        let expected = Address {
            account: "123456789012".into(),
            region: "ap-northeast-2".into(),
            name: "team/post-service".into(),
        };
        assert_eq!(parsed, Some(expected));
    }

    #[test]
    fn other_hosts_are_no_ecr() {
        for repository in [
            "docker.io/library/mysql",
            "12345.dkr.ecr.eu-west-1.amazonaws.com/x",
            "123456789012.dkr.ecr.amazonaws.com/x",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example/x",
        ] {
            assert_eq!(Address::parse(repository), None, "{repository}");
        }
    }
}
