//! Decides about the SSH server: whether its settings are in force, and whether somebody could still sign in with them.

use super::{Action, Observed, Verdict, mismatch};
use muster_domain::resource::Sshd;
use std::collections::BTreeMap;

/// Settings by keyword in lower case, with every value that each has.
pub type SshdSettings = BTreeMap<String, Vec<String>>;

/// What was found of the SSH server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedSshd {
    /// How the file with the declared settings differs from what it should be; empty when it does not.
    pub file: Vec<String>,
    /// The server reads that file.
    pub included: bool,
    /// Settings that are not in force although the file says so.
    pub overruled: Vec<Overruled>,
    /// The server has not read again what was changed.
    pub reload_pending: bool,
    /// How people can sign in: now, and with the new settings. Absent when nothing is to be changed.
    pub sign_in: Option<SignInChange>,
}

/// A setting that something else decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overruled {
    /// As declared.
    pub keyword: String,
    /// The value that is declared, as the server spells it.
    pub wanted: String,
    /// The value that is in force.
    pub found: String,
    /// Where it is said: a file and a line.
    pub by: Option<String>,
}

/// What a change does to those who sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInChange {
    /// The settings now.
    pub before: SshdSettings,
    /// The settings after it.
    pub after: SshdSettings,
    /// Who administers this node.
    pub admins: Vec<Admin>,
}

/// Somebody who administers a node: root, and whoever may become root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The name of the account.
    pub name: String,
    /// It is root itself.
    pub root: bool,
    /// Its groups.
    pub groups: Vec<String>,
    /// A key of its own would be taken.
    pub key: bool,
    /// It has a password.
    pub password: bool,
}

/// Keywords that mean something other than a setting, and would change the meaning of what follows.
const NOT_SETTINGS: [&str; 2] = ["match", "include"];

/// Keywords that decide who gets in.
const DECIDE: [&str; 10] = [
    "passwordauthentication",
    "kbdinteractiveauthentication",
    "pubkeyauthentication",
    "permitrootlogin",
    "authorizedkeysfile",
    "authenticationmethods",
    "allowusers",
    "allowgroups",
    "denyusers",
    "denygroups",
];

pub(super) fn verdict(wanted: &Sshd, observed: &Observed) -> Verdict {
    let Observed::Sshd(found) = observed else { return mismatch() };
    let forbidden = wanted
        .settings
        .iter()
        .find(|(keyword, _)| NOT_SETTINGS.iter().any(|known| known.eq_ignore_ascii_case(keyword)));
    if let Some((keyword, _)) = forbidden {
        let reason = format!("{keyword} is not a setting that can be declared here: write a file for it");
        return Verdict::Impossible { reason };
    }
    let mut reasons = found.file.clone();
    if !found.included {
        reasons.push("the server does not read its file".to_owned());
    }
    if reasons.is_empty() && !found.overruled.is_empty() {
        let texts: Vec<String> = found.overruled.iter().map(overruled).collect();
        return Verdict::Impossible { reason: texts.join("; ") };
    }
    if found.reload_pending {
        reasons.push("the server has not read it yet".to_owned());
    }
    if reasons.is_empty() {
        return Verdict::InPlace;
    }
    if let Some(reason) = found.sign_in.as_ref().and_then(locked_out) {
        return Verdict::Impossible { reason };
    }
    Verdict::Change { actions: vec![Action::ConfigureSshd], reason: reasons.join(", ") }
}

fn overruled(setting: &Overruled) -> String {
    let Overruled { keyword, wanted, found, by } = setting;
    let by = by
        .as_ref()
        .map_or_else(String::new, |by| format!(", which is said first in {by}; take it away there"));
    format!("{keyword} is {found} instead of {wanted}{by}")
}

/// Why nobody who administers the node could sign in any more. Settings that decide about that and stay as they are do not
/// lock out anybody who is not locked out already.
fn locked_out(change: &SignInChange) -> Option<String> {
    let SignInChange { before, after, admins } = change;
    let same = DECIDE.iter().all(|keyword| before.get(*keyword) == after.get(*keyword));
    if same || admins.iter().any(|admin| gets_in(after, admin)) {
        return None;
    }
    let keys: Vec<&str> = admins.iter().filter(|admin| admin.key).map(|admin| admin.name.as_str()).collect();
    let why = if keys.is_empty() {
        "no key of root or of anybody in the groups sudo, admin and wheel would be taken".to_owned()
    } else {
        format!("the settings do not let {} in, who has a key", keys.join(", "))
    };
    Some(format!(
        "with these settings nobody who administers this node could sign in: {why}; declare an authorized_key for an administrator first"
    ))
}

/// Why those who administer the node could not sign in any more once something is taken away: nobody of those `after` it gets
/// in, and somebody of those `before` it did.
pub fn shut_out(settings: &SshdSettings, before: &[Admin], after: &[Admin]) -> Option<String> {
    let last: Vec<&str> =
        before.iter().filter(|admin| gets_in(settings, admin)).map(|admin| admin.name.as_str()).collect();
    if last.is_empty() || after.iter().any(|admin| gets_in(settings, admin)) {
        return None;
    }
    Some(format!(
        "without it nobody who administers this node could sign in: only {} can; declare a key for another administrator first, or let root sign in with one",
        last.join(", ")
    ))
}

fn gets_in(settings: &SshdSettings, admin: &Admin) -> bool {
    let is = |keyword: &str, value: &str| {
        settings
            .get(keyword)
            .and_then(|values| values.first())
            .is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    let by_key =
        admin.key && !is("pubkeyauthentication", "no") && !(admin.root && is("permitrootlogin", "no"));
    let asked = is("passwordauthentication", "yes") || is("kbdinteractiveauthentication", "yes");
    let by_password = admin.password && asked && (!admin.root || is("permitrootlogin", "yes"));
    (by_key || by_password) && let_through(settings, admin)
}

/// In the order in which the server asks.
fn let_through(settings: &SshdSettings, admin: &Admin) -> bool {
    let patterns = |keyword: &str| {
        let values = settings.get(keyword).map(Vec::as_slice).unwrap_or_default();
        values.iter().flat_map(|value| value.split_whitespace()).map(str::to_owned).collect::<Vec<_>>()
    };
    let user = |patterns: &[String]| {
        // Where somebody comes from cannot be known here.
        patterns.iter().any(|pattern| matches(pattern.split('@').next().unwrap_or_default(), &admin.name))
    };
    let group = |patterns: &[String]| {
        patterns.iter().any(|pattern| admin.groups.iter().any(|group| matches(pattern, group)))
    };
    let (allow_users, allow_groups) = (patterns("allowusers"), patterns("allowgroups"));
    !user(&patterns("denyusers"))
        && (allow_users.is_empty() || user(&allow_users))
        && !group(&patterns("denygroups"))
        && (allow_groups.is_empty() || group(&allow_groups))
}

/// `*` stands for any text and `?` for one letter.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) && pattern[p] != '*' {
            (p, t) = (p + 1, t + 1);
        } else if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if let Some((at, from)) = star {
            (p, t) = (at + 1, from + 1);
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> SshdSettings {
        let mut settings = SshdSettings::new();
        for (keyword, value) in pairs {
            settings.entry((*keyword).to_owned()).or_default().push((*value).to_owned());
        }
        settings
    }

    fn admin(name: &str, key: bool, password: bool) -> Admin {
        let groups = vec![if name == "root" { "root".to_owned() } else { "sudo".to_owned() }];
        Admin { name: name.into(), root: name == "root", groups, key, password }
    }

    const OPEN: [(&str, &str); 3] =
        [("passwordauthentication", "yes"), ("permitrootlogin", "yes"), ("pubkeyauthentication", "yes")];

    fn decide(after: &[(&str, &str)], admins: Vec<Admin>) -> Verdict {
        let change = SignInChange { before: settings(&OPEN), after: settings(after), admins };
        let found = ObservedSshd {
            file: vec!["is missing".into()],
            included: true,
            overruled: Vec::new(),
            reload_pending: false,
            sign_in: Some(change),
        };
        verdict(&Sshd { settings: Vec::new() }, &Observed::Sshd(found))
    }

    fn refused(after: &[(&str, &str)], admins: Vec<Admin>) -> bool {
        match decide(after, admins) {
            Verdict::Impossible { reason } => {
                assert!(reason.contains("declare an authorized_key"), "{reason}");
                true
            }
            Verdict::Change { .. } => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn passwords_are_not_turned_off_while_no_key_would_be_taken() {
        let no_passwords = [("passwordauthentication", "no"), ("permitrootlogin", "without-password")];
        assert!(refused(&no_passwords, vec![admin("root", false, true), admin("amara", false, true)]));
        assert!(!refused(&no_passwords, vec![admin("root", true, false)]));
        assert!(!refused(&no_passwords, vec![admin("root", false, true), admin("amara", true, false)]));
    }

    #[test]
    fn root_is_not_shut_out_while_nobody_else_gets_in() {
        let no_root = [("passwordauthentication", "no"), ("permitrootlogin", "no")];
        assert!(refused(&no_root, vec![admin("root", true, true)]));
        assert!(!refused(&no_root, vec![admin("root", true, true), admin("amara", true, false)]));
        let keys_only = [("passwordauthentication", "yes"), ("permitrootlogin", "without-password")];
        assert!(refused(&keys_only, vec![admin("root", false, true)]));
        assert!(!refused(&keys_only, vec![admin("amara", false, true)]));
    }

    #[test]
    fn lists_of_those_who_may_enter_count() {
        let amara = || vec![admin("amara", true, false)];
        for (keyword, pattern, out) in [
            ("allowusers", "deploy", true),
            ("allowusers", "ama*", false),
            ("allowusers", "deploy amara@10.0.0.*", false),
            ("allowgroups", "ops", true),
            ("allowgroups", "su?o", false),
            ("denyusers", "a*a", true),
            ("denygroups", "sudo", true),
        ] {
            let after = [("passwordauthentication", "no"), (keyword, pattern)];
            assert_eq!(refused(&after, amara()), out, "{keyword} {pattern}");
        }
    }

    #[test]
    fn the_last_who_gets_in_is_not_taken_away() {
        let no_root = settings(&[("passwordauthentication", "no"), ("permitrootlogin", "no")]);
        let (root, amara) = (admin("root", true, true), admin("amara", true, false));
        let before = [root.clone(), amara.clone()];
        let told = shut_out(&no_root, &before, std::slice::from_ref(&root)).unwrap();
        assert!(told.contains("only amara can"), "{told}");
        let without_key = [root.clone(), admin("amara", false, false)];
        assert!(shut_out(&no_root, &before, &without_key).is_some());
        assert_eq!(shut_out(&no_root, &before, &[admin("bo", true, false)]), None);
        assert_eq!(shut_out(&settings(&OPEN), &before, std::slice::from_ref(&root)), None);
        // Nobody gets in as it is: nothing is held back for that.
        assert_eq!(shut_out(&no_root, &without_key, &[]), None);
    }

    #[test]
    fn who_is_out_already_is_no_reason_against_another_setting() {
        let after = [OPEN[0], OPEN[1], OPEN[2], ("x11forwarding", "no")];
        assert!(!refused(&after, vec![]));
    }

    #[test]
    fn what_is_overruled_names_where() {
        let found = ObservedSshd {
            file: Vec::new(),
            included: true,
            overruled: vec![Overruled {
                keyword: "X11Forwarding".into(),
                wanted: "no".into(),
                found: "yes".into(),
                by: Some("/etc/ssh/sshd_config:3".into()),
            }],
            reload_pending: false,
            sign_in: None,
        };
        let wanted = Sshd { settings: vec![("X11Forwarding".into(), "no".into())] };
        let Verdict::Impossible { reason } = verdict(&wanted, &Observed::Sshd(found.clone())) else {
            panic!()
        };
        assert!(
            reason.contains("X11Forwarding is yes instead of no") && reason.contains("sshd_config:3"),
            "{reason}"
        );
        let in_place = ObservedSshd { overruled: Vec::new(), ..found };
        assert_eq!(verdict(&wanted, &Observed::Sshd(in_place.clone())), Verdict::InPlace);
        let pending = ObservedSshd { reload_pending: true, ..in_place.clone() };
        assert!(matches!(verdict(&wanted, &Observed::Sshd(pending)), Verdict::Change { .. }));
        let odd = Sshd { settings: vec![("Match".into(), "User x".into())] };
        assert!(matches!(verdict(&odd, &Observed::Sshd(in_place)), Verdict::Impossible { .. }));
    }

    #[test]
    fn patterns_are_those_of_the_server() {
        for (pattern, text, yes) in [
            ("*", "", true),
            ("a*c*", "abcd", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaab", true),
            ("*a*b", "xaa", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), yes, "{pattern} {text}");
        }
    }
}
