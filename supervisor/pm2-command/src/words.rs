//! Figures as pm2 writes them.

use crate::style::Code;

/// `49.6mb`.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn size(bytes: u64) -> String {
    const KB: f64 = 1024.0;
    let size = bytes as f64;
    match size {
        _ if size < KB => format!("{bytes}b"),
        _ if size < KB * KB => format!("{:.1}kb", size / KB),
        _ if size < KB * KB * KB => format!("{:.1}mb", size / KB / KB),
        _ if size < KB * KB * KB * KB => format!("{:.1}gb", size / KB / KB / KB),
        _ => format!("{:.1}tb", size / KB / KB / KB / KB),
    }
}

/// `90s`, `5m`, `2D`: a unit is used from two of it on.
pub(crate) fn since(ms: u64) -> String {
    let seconds = ms / 1_000;
    for (unit, length) in [("Y", 31_536_000), ("M", 2_592_000), ("D", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds / length > 1 {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

/// `4.2%`.
pub(crate) fn percent(share: f32) -> String {
    format!("{}%", (f64::from(share) * 10.0).round() / 10.0)
}

/// How pm2 colours a state.
pub(crate) fn status_codes(status: &str) -> &'static [Code] {
    match status {
        "online" => &[Code::Green, Code::Bold],
        "launching" => &[Code::Blue, Code::Bold],
        _ => &[Code::Red, Code::Bold],
    }
}

/// A list of ids as `console.log` prints it.
pub(crate) fn ids(ids: &[u32]) -> String {
    let items = ids.iter().map(|id| crate::js::Js::number((*id).into())).collect();
    crate::inspect::inspect(&crate::js::Js::List(items))
}
