use std::io::Write as _;

use kube::CustomResourceExt as _;

use crate::api::v1alpha1::PostService;

/// The CustomResourceDefinition, as `crds/postservice.yaml` holds it.
pub fn yaml() -> anyhow::Result<String> {
    Ok(serde_yaml::to_string(&PostService::crd())?)
}

pub(super) fn print() -> anyhow::Result<()> {
    std::io::stdout().write_all(yaml()?.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::yaml;

    #[test]
    fn the_committed_definition_is_what_the_types_say() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        for path in [
            "crds/postservice.yaml",
            "charts/post-operator/crds/postservice.yaml",
        ] {
            let committed = std::fs::read_to_string(format!("{root}/{path}")).unwrap();
            assert!(
                committed == yaml().unwrap(),
                "{path} is outdated: cargo run -p post-operator -- crds > {path}"
            );
        }
    }
}
