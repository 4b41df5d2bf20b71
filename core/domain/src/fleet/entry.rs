//! What the entries of all sections about hosts have in common: which nodes have them, what is done about differences, what
//! becomes of them in the end, and what comes before them.

use super::Selector;
use crate::resource::{Mode, OnRemoval};

/// What the entries of all sections about hosts have in common.
#[derive(Debug, Clone, Copy, Default)]
pub struct Common<'a> {
    /// Which nodes have it; absent: all.
    pub on: Option<&'a Selector>,
    /// What is done about differences.
    pub enforcement: Option<Mode>,
    /// What becomes of it when it is no longer declared.
    pub on_removal: Option<OnRemoval>,
    /// References to what comes first.
    pub depends_on: &'a [String],
    /// References to what it reloads after (a command: runs after).
    pub reload_on: &'a [String],
    /// References to what it restarts after.
    pub restart_on: &'a [String],
}

impl<'a> Common<'a> {
    /// Every reference, with the field that it stands in.
    pub fn references(&self) -> impl Iterator<Item = (&'static str, usize, &'a str)> + use<'a> {
        let fields =
            [("depends_on", self.depends_on), ("reload_on", self.reload_on), ("restart_on", self.restart_on)];
        fields.into_iter().flat_map(|(field, list)| {
            list.iter().enumerate().map(move |(index, text)| (field, index, text.as_str()))
        })
    }
}

/// Declares the structs of sections: the fields that are given, and those that all entries have. In brackets stand the fields
/// that hold what an entry watches.
macro_rules! entries {
    ($(
        $(#[$about:meta])*
        $name:ident $([$reload:ident $(, $restart:ident)?])? {
            $($(#[$attribute:meta])* $field:ident: $type:ty,)*
        }
    )+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$attribute])* pub $field: $type,)*
            /// Which nodes have it. Default: all.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub on: Option<crate::fleet::Selector>,
            /// What is done about a difference: `enforce` puts it right, `report` says it and changes nothing, `ignore`
            /// does not even look. The strictest of this, the node and its environment holds. Default: enforce.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub enforcement: Option<crate::resource::Mode>,
            /// What becomes of it on a node when it is no longer declared there: `keep` leaves it, and that is reported;
            /// `remove` takes it away. Default: keep.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub on_removal: Option<crate::resource::OnRemoval>,
            /// What comes first, by resource: `package:nginx`, `file:/etc/nginx/nginx.conf`, or `file:/etc/nginx/` for
            /// everything that is declared below a folder. When one of them fails, this is not tried. Default: none.
            #[serde(
                default,
                skip_serializing_if = "Vec::is_empty",
                deserialize_with = "crate::fleet::lists::texts"
            )]
            #[schemars(with = "crate::fleet::lists::Texts")]
            pub depends_on: Vec<String>,
        }

        impl $name {
            /// What it has in common with other entries.
            pub fn common(&self) -> crate::fleet::Common<'_> {
                let common = crate::fleet::Common {
                    on: self.on.as_ref(),
                    enforcement: self.enforcement,
                    on_removal: self.on_removal,
                    depends_on: &self.depends_on,
                    ..crate::fleet::Common::default()
                };
                $(
                    let common = crate::fleet::Common { reload_on: &self.$reload, ..common };
                    $(let common = crate::fleet::Common { restart_on: &self.$restart, ..common };)?
                )?
                common
            }
        }
    )+};
}

pub(super) use entries;
