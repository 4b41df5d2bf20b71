//! Which processes somebody means: a name, an id, a namespace, `/regex/`, `all`.

use regex_lite::Regex;

use crate::Failure;
use crate::process::Process;

/// Why nothing is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoMatch {
    /// `all` or an expression, and there is nothing.
    Nothing,
    /// There is no such name, namespace or id.
    Unknown(String),
    /// The expression cannot be read.
    BadExpression(String),
}

impl NoMatch {
    /// As pm2 says it, with its prefix chosen by [`Self::warning`].
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Nothing => "No process found".to_owned(),
            Self::Unknown(selector) => format!("Process or Namespace {selector} not found"),
            Self::BadExpression(problem) => format!("this is no regular expression: {problem}"),
        }
    }

    /// pm2 only warns of an empty list.
    pub(crate) fn warning(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

impl From<NoMatch> for Failure {
    fn from(no: NoMatch) -> Self {
        Self::new(no.message())
    }
}

/// Whether JavaScript takes it for a number.
pub(crate) fn numeric(text: &str) -> bool {
    text.trim().is_empty() || text.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

/// Places in the list of what is meant: pm2's own order of trying (a name, a namespace, an id); then a list with commas.
pub(crate) fn select(processes: &[Process], selector: &str) -> Result<Vec<usize>, NoMatch> {
    let some = |found: Vec<usize>| if found.is_empty() { Err(NoMatch::Nothing) } else { Ok(found) };
    let places = |wanted: &dyn Fn(&Process) -> bool| -> Vec<usize> {
        processes.iter().enumerate().filter(|(_, process)| wanted(process)).map(|(place, _)| place).collect()
    };
    if selector == "all" {
        return some(places(&|_| true));
    }
    if selector.len() > 1 && selector.starts_with('/') && selector.ends_with('/') {
        let expression = selector.replace('/', "");
        let regex = Regex::new(&expression).map_err(|error| NoMatch::BadExpression(error.to_string()))?;
        return some(places(&|process| regex.is_match(&process.name)));
    }
    let mut found = places(&|process| process.name == selector);
    if found.is_empty() {
        found = places(&|process| process.namespace == selector);
    }
    if found.is_empty()
        && let Ok(id) = selector.trim().parse::<u32>()
    {
        found = places(&|process| process.id() == id);
    }
    if found.is_empty() && selector.contains(',') {
        for part in selector.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            for place in select(processes, part)? {
                if !found.contains(&place) {
                    found.push(place);
                }
            }
        }
    }
    if found.is_empty() { Err(NoMatch::Unknown(selector.to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::numeric;

    #[test]
    fn numbers_are_told_as_javascript_tells_them() {
        assert!(numeric("0") && numeric("12") && numeric(" 7 "));
        assert!(!numeric("web") && !numeric("1a") && !numeric("inf") && !numeric("1,2"));
    }
}
