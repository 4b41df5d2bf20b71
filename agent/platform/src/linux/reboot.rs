//! Whether the system should be started anew, and doing it.

use super::LinuxHost;
use super::command::run;
use crate::host::{CommandLine, Fault, Host, HostError, LocalTime, RebootHost};
use chrono::{DateTime, Datelike, Timelike, Utc};
use std::collections::BTreeSet;
use std::path::Path;
use tz::TimeZone;

const REQUESTED: &str = "/run/reboot-required";
const REQUESTED_BY: &str = "/run/reboot-required.pkgs";
const KERNELS: &str = "/boot";
const ZONES: &str = "/usr/share/zoneinfo";
const LOCAL_ZONE: &str = "/etc/localtime";
const MAX_PACKAGES: usize = 50;

impl RebootHost for LinuxHost {
    fn boot_id(&self) -> Result<String, HostError> {
        let path = Path::new("/proc/sys/kernel/random/boot_id");
        let id = std::fs::read_to_string(path).map_err(|error| HostError::new("read", path, error.into()))?;
        Ok(id.trim().to_owned())
    }

    fn reboot_requested(&self) -> Option<Vec<String>> {
        if self.root.is_some() || !Path::new(REQUESTED).exists() {
            return None;
        }
        // The same package may have asked several times. Nobody has to have said who asked.
        let by = std::fs::read_to_string(REQUESTED_BY).unwrap_or_default();
        let packages: BTreeSet<&str> = by.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Some(packages.into_iter().take(MAX_PACKAGES).map(str::to_owned).collect())
    }

    fn kernel_release(&self) -> String {
        rustix::system::uname().release().to_string_lossy().into_owned()
    }

    fn installed_kernels(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(KERNELS) else { return Vec::new() };
        let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
        names.filter_map(|name| Some(name.to_str()?.strip_prefix("vmlinuz-")?.to_owned())).collect()
    }

    fn local_time(&self, timezone: Option<&str>, now: DateTime<Utc>) -> Result<LocalTime, HostError> {
        local_time(timezone, now).map_err(|fault| HostError {
            action: "tell the time of",
            subject: timezone.unwrap_or("this host").to_owned(),
            fault,
        })
    }

    fn reboot(&self) -> Result<(), HostError> {
        if !self.privileged() {
            return Err(HostError::new("run", Path::new("systemctl reboot"), Fault::PermissionDenied));
        }
        let command = CommandLine {
            program: "systemctl".into(),
            args: vec!["--no-block".into(), "reboot".into()],
            timeout_ms: 30_000,
            ..CommandLine::default()
        };
        let output = run(&command)?;
        if output.success() {
            return Ok(());
        }
        Err(HostError::new(
            "run",
            Path::new("systemctl reboot"),
            Fault::Other(output.stderr.trim().to_owned()),
        ))
    }
}

fn local_time(timezone: Option<&str>, now: DateTime<Utc>) -> Result<LocalTime, Fault> {
    let data = match timezone {
        // Known without a database of zones.
        Some("UTC" | "Etc/UTC" | "GMT") => None,
        Some(name) => {
            let plain = muster_domain::host_names::timezone(name);
            let read = std::fs::read(Path::new(ZONES).join(name)).ok().filter(|_| plain);
            Some(read.ok_or_else(unknown)?)
        }
        // A host that says nothing is in UTC.
        None => std::fs::read(LOCAL_ZONE).ok(),
    };
    let offset_s = match data {
        None => 0,
        Some(data) => {
            let zone = TimeZone::from_tz_data(&data).map_err(|_| unknown())?;
            zone.find_local_time_type(now.timestamp()).map_err(|_| unknown())?.ut_offset()
        }
    };
    let local = now.naive_utc() + chrono::TimeDelta::seconds(i64::from(offset_s));
    Ok(LocalTime {
        weekday: u8::try_from(local.weekday().num_days_from_monday()).unwrap_or(0),
        minute: u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0),
    })
}

fn unknown() -> Fault {
    Fault::Other("the host does not know this time zone; install the package tzdata, or name another".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_told_apart_in_summer_and_in_winter() {
        if !Path::new(ZONES).join("Europe/Berlin").exists() {
            // A machine without the database of zones has nothing to look up.
            assert!(local_time(Some("Europe/Berlin"), Utc::now()).is_err());
            return;
        }
        let check = |zone, at: &str, weekday, hour: u16, minute: u16| {
            let now: DateTime<Utc> = at.parse().unwrap();
            assert_eq!(
                local_time(zone, now).unwrap(),
                LocalTime { weekday, minute: hour * 60 + minute },
                "{at}"
            );
        };
        check(Some("UTC"), "2026-01-04T23:30:00Z", 6, 23, 30);
        check(Some("Europe/Berlin"), "2026-01-04T23:30:00Z", 0, 0, 30);
        check(Some("Europe/Berlin"), "2026-07-05T23:30:00Z", 0, 1, 30);
        // The hour that the change of March leaves out.
        check(Some("Europe/Berlin"), "2026-03-29T00:59:00Z", 6, 1, 59);
        check(Some("Europe/Berlin"), "2026-03-29T01:00:00Z", 6, 3, 0);
        check(Some("Asia/Kolkata"), "2026-01-04T20:00:00Z", 0, 1, 30);
        check(Some("America/New_York"), "2060-07-05T03:00:00Z", 6, 23, 0);
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for bad in ["Mars/Olympus", "../../etc/passwd", "/etc/passwd", "", "zone.tab"] {
            assert!(local_time(Some(bad), Utc::now()).is_err(), "{bad:?}");
        }
        assert!(local_time(None, Utc::now()).is_ok());
    }

    #[test]
    fn a_start_of_the_kernel_has_an_id() {
        let host = LinuxHost::system(Path::new("/"));
        assert_eq!(host.boot_id().unwrap().len(), 36);
        assert!(!host.kernel_release().is_empty());
    }
}
