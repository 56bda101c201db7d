//! Whatever is in the way, as a sentence that says what to do.

use std::fmt;

use kube::client::AuthError;
use kube::config::KubeconfigError;
use kube::core::Status;

/// What was asked of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Reading one object.
    Get,
    /// Following it.
    Watch,
    /// Changing it.
    Patch,
}

impl fmt::Display for Doing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Get => "get",
            Self::Watch => "list and watch",
            Self::Patch => "patch",
        })
    }
}

/// What keeps a command from its work.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// There is no way to a cluster.
    #[error(
        "no kubeconfig was found: pass --kubeconfig, set KUBECONFIG, or make one (on EKS: `aws eks update-kubeconfig --name CLUSTER`)"
    )]
    NoKubeconfig,
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(String),
    /// The kubeconfig has no such context.
    #[error("the kubeconfig has no context {name:?}; it has: {}", list(others))]
    NoContext {
        /// What was asked for.
        name: String,
        /// What there is.
        others: Vec<String>,
    },
    /// No credentials could be had.
    #[error(
        "no credentials for {server}: {why}. Log in again (on AWS: `aws sso login`) or correct the kubeconfig's user"
    )]
    NoCredentials {
        /// The API server.
        server: String,
        /// What went wrong.
        why: String,
    },
    /// The API server does not take the credentials.
    #[error(
        "the API server {server} does not accept your credentials (401): they have expired or belong to another cluster. Log in again; on EKS, the IAM role needs an access entry"
    )]
    Unauthorized {
        /// The API server.
        server: String,
    },
    /// The API server cannot be reached.
    #[error(
        "the API server {server} does not answer: {why}. Is it the right --context, and is the network (VPN, proxy) up?"
    )]
    Unreachable {
        /// The API server.
        server: String,
        /// What went wrong.
        why: String,
    },
    /// A right is missing.
    #[error(
        "{who} may not {doing} postservices (API group platform.hhottdogg.shop) in namespace {namespace}: ask for the group post-service:deployers, to which the operator's chart gives these rights, or for a role of your own"
    )]
    Forbidden {
        /// The user.
        who: String,
        /// The verb.
        doing: Doing,
        /// Where.
        namespace: String,
    },
    /// An admission policy says no.
    #[error("refused by the cluster's admission policy: {0}")]
    Policy(String),
    /// The kind is not there.
    #[error(
        "{server} knows no PostServices: install the operator there (`helm install post-operator charts/post-operator`), or is it another --context?"
    )]
    NotInstalled {
        /// The API server.
        server: String,
    },
    /// The object is not there.
    #[error("there is no PostService {name:?} in namespace {namespace}{}", there_are(others.as_deref()))]
    Missing {
        /// What was asked for.
        name: String,
        /// Where.
        namespace: String,
        /// What there is, if it may be listed.
        others: Option<Vec<String>>,
    },
    /// The tag is somebody else's.
    #[error("{0}")]
    Owned(String),
    /// The change is wrong.
    #[error("the API server refuses this: {0}")]
    Refused(String),
    /// The object is of another time.
    #[error("the PostService cannot be read by this version of post-operator ({version}): {why}. Use the version of the operator in the cluster", version = env!("CARGO_PKG_VERSION"))]
    Unreadable {
        /// What does not fit.
        why: String,
    },
}

impl Trouble {
    /// The word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoKubeconfig | Self::Kubeconfig(_) | Self::NoContext { .. } => "Kubeconfig",
            Self::NoCredentials { .. } | Self::Unauthorized { .. } => "Unauthorized",
            Self::Unreachable { .. } => "Unreachable",
            Self::Forbidden { .. } | Self::Policy(_) => "Forbidden",
            Self::NotInstalled { .. } => "NotInstalled",
            Self::Missing { .. } => "NotFound",
            Self::Owned(_) => "TagOwned",
            Self::Refused(_) => "Refused",
            Self::Unreadable { .. } => "Unreadable",
        }
    }

    /// Whether waiting does not help.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Unreachable { .. } | Self::Refused(_))
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

fn there_are(others: Option<&[String]>) -> String {
    match others {
        None => String::new(),
        Some([]) => ", nor any other: is it another --namespace?".to_owned(),
        Some(others) => format!("; there are: {}", list(others)),
    }
}

/// A kubeconfig that cannot be used.
pub fn kubeconfig(error: KubeconfigError, contexts: Vec<String>) -> Trouble {
    match error {
        KubeconfigError::LoadContext(name) => Trouble::NoContext {
            name,
            others: contexts,
        },
        KubeconfigError::CurrentContextNotSet => Trouble::Kubeconfig(format!(
            "it has no current context; choose one by --context: {}",
            list(&contexts)
        )),
        KubeconfigError::ReadConfig(source, path) => {
            Trouble::Kubeconfig(format!("{}: {source}", path.display()))
        }
        other => Trouble::Kubeconfig(root(&other)),
    }
}

/// An error on the way to the API server.
pub fn reach(error: kube::Error, server: &str) -> Trouble {
    let server = server.trim_end_matches('/').to_owned();
    match error {
        kube::Error::SerdeError(source) => Trouble::Unreadable {
            why: source.to_string(),
        },
        kube::Error::InferKubeconfig(error) => kubeconfig(error, Vec::new()),
        error => match credentials(&error) {
            Some(why) => Trouble::NoCredentials { server, why },
            None => Trouble::Unreachable {
                server,
                why: root(&error),
            },
        },
    }
}

/// What went wrong in getting credentials, if that is what went wrong.
fn credentials(error: &kube::Error) -> Option<String> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(auth) = error.downcast_ref::<AuthError>() {
            return Some(plugin(auth));
        }
        cause = error.source();
    }
    None
}

/// Of a credentials plugin, its last words.
fn plugin(error: &AuthError) -> String {
    let AuthError::AuthExecRun { cmd, out } = error else {
        return error.to_string();
    };
    let words = String::from_utf8_lossy(&out.stderr);
    let last = words.lines().rfind(|line| !line.trim().is_empty());
    let command = command(cmd);
    match last {
        Some(last) => format!("`{command}` failed: {}", last.trim()),
        None => format!("`{command}` failed ({})", out.status),
    }
}

/// Without the variables that the plugin was given.
fn command(debug: &str) -> String {
    let words = debug.split_whitespace();
    let words: Vec<_> = words.skip_while(|word| word.contains('=')).collect();
    words.join(" ").replace('"', "")
}

/// The innermost cause, which names what happened.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A refusal of the API server.
pub fn api_trouble(
    status: &Status,
    doing: Doing,
    namespace: &str,
    name: &str,
    server: &str,
) -> Trouble {
    let server = server.trim_end_matches('/').to_owned();
    if let Some((_, said)) = status.message.split_once("denied request: ") {
        return Trouble::Policy(said.to_owned());
    }
    match status.code {
        401 => Trouble::Unauthorized { server },
        403 => Trouble::Forbidden {
            who: user(&status.message),
            doing,
            namespace: namespace.to_owned(),
        },
        404 if is_about(status, name) => Trouble::Missing {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            others: None,
        },
        404 => Trouble::NotInstalled { server },
        429 | 500.. => Trouble::Unreachable {
            server,
            why: status.message.clone(),
        },
        _ => Trouble::Refused(refusal(status)),
    }
}

/// A missing kind has no name, or is no `Status` at all.
fn is_about(status: &Status, name: &str) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|details| details.name == name)
}

/// `User "jane" cannot get resource …`
fn user(message: &str) -> String {
    let quoted = |rest: &str| rest.split('"').next().map(str::to_owned);
    message
        .split_once("User \"")
        .and_then(|(_, rest)| quoted(rest))
        .map_or_else(|| "you".to_owned(), |user| format!("user {user:?}"))
}

fn refusal(status: &Status) -> String {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let causes: Vec<_> = causes
        .map(|cause| match cause.field.as_str() {
            "" => cause.message.clone(),
            field => format!("{field}: {}", cause.message),
        })
        .collect();
    if causes.is_empty() {
        return status.message.clone();
    }
    causes.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(status: serde_json::Value) -> String {
        let status: Status = serde_json::from_value(status).unwrap();
        api_trouble(&status, Doing::Patch, "shop", "api", "https://k8s.example/").to_string()
    }

    #[test]
    fn a_missing_right_names_user_verb_resource_and_group() {
        let said = said(json!({"code": 403, "reason": "Forbidden", "message":
            "postservices.platform.hhottdogg.shop \"api\" is forbidden: User \"jane\" cannot patch resource \"postservices\" in API group \"platform.hhottdogg.shop\" in the namespace \"shop\""}));
        for part in [
            "user \"jane\" may not patch postservices",
            "platform.hhottdogg.shop",
            "namespace shop",
            "group post-service:deployers",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn a_policy_speaks_for_itself() {
        let message = "postservices \"api\" is forbidden: ValidatingAdmissionPolicy 'x' with binding 'x' denied request: members of g change nothing of spec but image.tag";
        let said = said(json!({"code": 422, "reason": "Invalid", "message": message}));
        assert_eq!(
            said,
            "refused by the cluster's admission policy: members of g change nothing of spec but image.tag"
        );
    }

    #[test]
    fn a_missing_object_is_not_a_missing_kind() {
        let object = said(
            json!({"code": 404, "reason": "NotFound", "message": "not found",
            "details": {"name": "api", "kind": "postservices"}}),
        );
        assert!(
            object.contains("no PostService \"api\" in namespace shop"),
            "{object}"
        );
        let kind = said(json!({"code": 404, "reason": "Failed to parse error data",
            "message": "404 page not found"}));
        assert!(
            kind.contains("https://k8s.example knows no PostServices"),
            "{kind}"
        );
    }

    #[test]
    fn others_are_named_where_they_may_be_listed() {
        let missing = |others: Option<&[&str]>| {
            let owned = |others: &[&str]| others.iter().map(|&name| name.to_owned()).collect();
            Trouble::Missing {
                name: "api".into(),
                namespace: "shop".into(),
                others: others.map(owned),
            }
            .to_string()
        };
        assert!(missing(Some(&["a", "b"])).ends_with("; there are: a, b"));
        assert!(missing(Some(&[])).contains("another --namespace?"));
        assert!(missing(None).ends_with("in namespace shop"));
    }

    #[test]
    fn a_plugin_is_called_as_its_user_would() {
        let debug = r#"KUBERNETES_EXEC_INFO="{\"kind\":1}" "aws" "eks" "get-token""#;
        assert_eq!(command(debug), "aws eks get-token");
    }

    #[test]
    fn a_refused_value_is_named_by_its_field() {
        let said = said(json!({"code": 422, "reason": "Invalid", "message": "long",
            "details": {"causes": [{"field": "spec.image.tag", "message": "no latest"}]}}));
        assert_eq!(
            said,
            "the API server refuses this: spec.image.tag: no latest"
        );
    }
}
