//! Lists in pages: by key, not by offset, so that a page is as cheap as the first and nothing is shown twice.

use crate::AppError;
use chrono::{DateTime, Utc};
use std::str::FromStr;
use uuid::Uuid;

/// So many items unless asked otherwise.
pub const PAGE_DEFAULT: u32 = 100;
/// At most so many items, whatever is asked.
pub const PAGE_MAX: u32 = 500;

/// Which page is asked for.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// How many items.
    pub limit: Option<u32>,
    /// What the page before gave as `next`.
    pub cursor: Option<String>,
}

/// One page.
#[derive(Debug, Clone)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    pub next: Option<String>,
}

impl PageRequest {
    /// How many items to give.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX) as usize
    }

    /// How many rows to read: one more than is given, to know whether there is a next page.
    pub fn rows(&self) -> i64 {
        i64::try_from(self.limit()).unwrap_or(i64::from(PAGE_MAX)).saturating_add(1)
    }

    /// The cursor as a value of one's own.
    pub fn parse<T: FromStr>(&self) -> Result<Option<T>, AppError> {
        self.cursor.as_deref().map(|text| text.parse().map_err(|_| invalid_cursor())).transpose()
    }

    /// The cursor of a list that is ordered by time and id.
    pub(crate) fn time_and_id(&self) -> Result<Option<(DateTime<Utc>, Uuid)>, AppError> {
        let Some(text) = &self.cursor else { return Ok(None) };
        let parsed = text.split_once('.').and_then(|(at, id)| {
            Some((DateTime::from_timestamp_micros(at.parse().ok()?)?, Uuid::try_parse(id).ok()?))
        });
        parsed.map(Some).ok_or_else(invalid_cursor)
    }

    /// Cuts what was read to a page. `key` makes the cursor of an item.
    pub fn page<T>(&self, mut items: Vec<T>, key: impl FnOnce(&T) -> String) -> Paged<T> {
        let more = items.len() > self.limit();
        items.truncate(self.limit());
        let next = if more { items.last().map(key) } else { None };
        Paged { items, next }
    }
}

/// The cursor of an item of a list that is ordered by time and id.
pub(crate) fn time_and_id(at: DateTime<Utc>, id: Uuid) -> String {
    format!("{}.{}", at.timestamp_micros(), id.simple())
}

fn invalid_cursor() -> AppError {
    AppError::invalid("invalid_cursor", "this cursor was not given by this list")
        .with_hint("leave it out to begin at the first page, then pass on `next_cursor` as it is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_and_limits_are_held() {
        let ask = |limit| PageRequest { limit, cursor: None };
        assert_eq!([None, Some(0), Some(7), Some(9999)].map(|limit| ask(limit).limit()), [100, 1, 7, 500]);
        let two = ask(Some(2));
        let page = two.page(vec![1, 2, 3], ToString::to_string);
        assert_eq!((page.items, page.next.as_deref()), (vec![1, 2], Some("2")));
        assert_eq!(two.page(vec![1, 2], ToString::to_string).next, None);
    }

    #[test]
    fn cursors_come_back_and_foreign_ones_are_refused() {
        let (at, id) = (DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(), Uuid::from_u128(7));
        let ask = |text: &str| PageRequest { limit: None, cursor: Some(text.to_owned()) };
        assert_eq!(ask(&time_and_id(at, id)).time_and_id().unwrap(), Some((at, id)));
        for bad in ["", ".", "1", "x.y", "99999999999999999999.0", "' OR 1=1"] {
            assert!(ask(bad).time_and_id().is_err(), "{bad}");
        }
    }
}
