//! Times of the week at which something may happen: `Sun 03:00-05:00`, `Mon-Fri 22:00-06:00 Europe/Berlin`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A time of the week. It may go over midnight: then it belongs to the day on which it begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// Days on which it begins, Monday first; at least one.
    days: [bool; 7],
    /// Minute of the day at which it begins.
    from_minute: u16,
    /// Minute of the day at which it ends; at or before `from_minute` means on the next day.
    to_minute: u16,
    /// A name of the time zone database; absent means the time zone of whoever asks.
    timezone: Option<String>,
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a time of the week; write it like \"Sun 03:00-05:00\", \"Mon-Fri 22:00-06:00 Europe/Berlin\" or \"daily 02:00-04:00\""
)]
pub struct InvalidWindow {
    given: String,
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MINUTES_OF_A_DAY: u16 = 24 * 60;

impl Window {
    /// Reads the notation above. Days are single (`Sun`), a range (`Mon-Fri`), a list (`Tue,Thu`), or `daily`.
    pub fn parse(text: &str) -> Result<Self, InvalidWindow> {
        Self::read(text).ok_or_else(|| InvalidWindow { given: text.chars().take(80).collect() })
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let days = days(words.next()?)?;
        let (from, to) = words.next()?.split_once('-')?;
        let timezone = words.next().map(str::to_owned);
        let plain = |name: &String| {
            name.len() <= 64
                && !name.contains("..")
                && name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c))
        };
        if words.next().is_some() || !timezone.as_ref().is_none_or(plain) {
            return None;
        }
        let (from_minute, to_minute) = (minute(from)?, minute(to)?);
        (from_minute < MINUTES_OF_A_DAY && from_minute != to_minute).then_some(Self {
            days,
            from_minute,
            to_minute,
            timezone,
        })
    }

    /// The name of its time zone, when it has one of its own.
    pub fn timezone(&self) -> Option<&str> {
        self.timezone.as_deref()
    }

    /// Whether it is open. `weekday`: 0 is Monday; `minute`: of the day; both by the clock of the window's time zone.
    pub fn open_at(&self, weekday: u8, minute: u16) -> bool {
        let today = usize::from(weekday) % 7;
        let yesterday = (today + 6) % 7;
        if self.from_minute < self.to_minute {
            return self.days[today] && (self.from_minute..self.to_minute).contains(&minute);
        }
        (self.days[today] && minute >= self.from_minute) || (self.days[yesterday] && minute < self.to_minute)
    }
}

fn days(text: &str) -> Option<[bool; 7]> {
    let index = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    if text.eq_ignore_ascii_case("daily") {
        return Some([true; 7]);
    }
    let mut found = [false; 7];
    for part in text.split(',') {
        match part.split_once('-') {
            None => found[index(part)?] = true,
            Some((first, last)) => {
                let (first, last) = (index(first)?, index(last)?);
                let count = (last + 7 - first) % 7;
                for step in 0..=count {
                    found[(first + step) % 7] = true;
                }
            }
        }
    }
    Some(found)
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| (text.len() == 2).then(|| text.parse::<u16>().ok()).flatten();
    let (hour, minute) = (digits(hour)?, digits(minute)?);
    let whole = hour * 60 + minute;
    (minute < 60 && whole <= MINUTES_OF_A_DAY).then_some(whole)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days == [true; 7] {
            f.write_str("daily")?;
        } else {
            let names: Vec<&str> =
                DAYS.iter().zip(self.days).filter(|(_, on)| *on).map(|(name, _)| *name).collect();
            f.write_str(&names.join(","))?;
        }
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(f, " {}-{}", time(self.from_minute), time(self.to_minute))?;
        if let Some(timezone) = &self.timezone {
            write!(f, " {timezone}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Window {
    type Error = InvalidWindow;
    fn try_from(text: String) -> Result<Self, InvalidWindow> {
        Self::parse(&text)
    }
}

impl From<Window> for String {
    fn from(window: Window) -> String {
        window.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_read_and_written_in_one_way() {
        for (given, written) in [
            ("Sun 03:00-05:00", "Sun 03:00-05:00"),
            ("mon-fri 22:00-06:00 Europe/Berlin", "Mon,Tue,Wed,Thu,Fri 22:00-06:00 Europe/Berlin"),
            ("Sat-Mon 00:00-24:00", "Mon,Sat,Sun 00:00-24:00"),
            ("daily 02:30-04:00 Etc/UTC", "daily 02:30-04:00 Etc/UTC"),
        ] {
            let window = Window::parse(given).expect("it is valid");
            assert_eq!(window.to_string(), written);
            assert_eq!(Window::parse(written), Ok(window));
        }
        for bad in [
            "",
            "Sun",
            "03:00-05:00",
            "Sun 3:00-5:00",
            "Sun 03:00-03:00",
            "Sun 24:00-25:00",
            "Sun 03:60-04:00",
            "Foo 03:00-05:00",
            "Sun 03:00-05:00 ../etc/passwd",
            "Sun 03:00-05:00 Etc/UTC more",
        ] {
            assert!(Window::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let window = Window::parse("Sun 23:00-01:00").expect("it is valid");
        assert!(window.open_at(6, 23 * 60) && window.open_at(0, 59));
        assert!(!window.open_at(6, 30) && !window.open_at(0, 60) && !window.open_at(0, 23 * 60));
        let whole = Window::parse("Sun 00:00-24:00").expect("it is valid");
        assert!(whole.open_at(6, 0) && whole.open_at(6, 1439) && !whole.open_at(0, 0));
    }
}
