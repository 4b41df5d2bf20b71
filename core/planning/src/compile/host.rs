//! What every module about hosts needs: which entries are meant for the node, and names that an agent would take.

use super::{CompileInput, CompileProblem};
use muster_domain::{
    fleet::{Common, declared::name_of},
    resource::{DesiredState, Resource, ResourceKey},
    selection::Target,
};

/// Where the modules put what they find.
pub(super) struct Host<'a, 'b> {
    pub(super) input: &'b CompileInput<'a>,
    pub(super) target: Target<'a>,
    pub(super) resources: Vec<Resource>,
    pub(super) problems: Vec<CompileProblem>,
}

impl<'a> Host<'a, '_> {
    /// The entries of a section that are meant for the node.
    pub(super) fn entries<T>(
        &self,
        section: &'a std::collections::BTreeMap<String, T>,
        common: impl Fn(&'a T) -> Common<'a>,
    ) -> Vec<(&'a str, &'a T)> {
        section
            .iter()
            .filter(|(_, entry)| self.target.has(common(entry).on))
            .map(|(name, entry)| (name.as_str(), entry))
            .collect()
    }

    /// Adds a resource; what it depends on is added later, for all of them.
    pub(super) fn add(&mut self, key: ResourceKey, desired: DesiredState) {
        self.resources.push(Resource::new(key, Vec::new(), desired));
    }

    /// Adds a resource unless somebody declared it, or another module did.
    pub(super) fn imply(&mut self, key: ResourceKey, desired: DesiredState) {
        if self.resources.iter().all(|resource| resource.key != key) {
            self.add(key, desired);
        }
    }

    /// A value that `muster apply` would have refused.
    pub(super) fn invalid(&mut self, place: impl Into<String>, reason: impl Into<String>) {
        self.problems.push(CompileProblem::Invalid { place: place.into(), reason: reason.into() });
    }

    /// A text that has to follow a rule of the host.
    pub(super) fn must(&mut self, text: &str, rule: impl Fn(&str) -> bool, place: &str) {
        if !rule(text) {
            let shown: String = text.chars().take(80).collect();
            self.invalid(place, format!("{shown:?} cannot stand here"));
        }
    }

    /// What an entry is called on the node.
    pub(super) fn name<'t>(
        &mut self,
        (section, entry): (&str, &'t str),
        name: Option<&'t String>,
        rule: impl Fn(&str) -> bool,
    ) -> &'t str {
        let name = name_of(entry, name);
        self.must(name, rule, &format!("{section}.{entry}"));
        name
    }

    /// The text of an entry that says it itself or names a file beside the fleet files.
    pub(super) fn text(
        &mut self,
        place: &str,
        content: Option<&String>,
        source: Option<&String>,
    ) -> Option<String> {
        match (content, source) {
            (Some(content), None) => Some(content.clone()),
            (None, Some(source)) => {
                let bytes = self.input.attachments.get(source);
                let text = bytes.and_then(|bytes| String::from_utf8(bytes.clone()).ok());
                if text.is_none() {
                    let reason = format!("{source:?} is not a text that is part of the configuration");
                    self.invalid(place, reason);
                }
                text
            }
            _ => {
                self.invalid(place, "give one of content and source");
                None
            }
        }
    }
}
