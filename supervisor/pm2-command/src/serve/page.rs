//! The pages the file server writes itself.

use std::fmt::Write;

use chrono::DateTime;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::site::Entry;

/// As JavaScript's `encodeURIComponent`.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

const STYLE: &str = "body{font-family:monospace;margin:20px;background:#1e1e1e;color:#ccc}\
h1{font-size:1.2em;border-bottom:1px solid #444;padding-bottom:8px}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:4px 12px}\
th{border-bottom:2px solid #444;font-size:.9em;color:#888}tr:hover{background:#2a2a2a}\
.size,.mtime{white-space:nowrap}.size{text-align:right}a{color:#58a6ff;text-decoration:none}\
a:hover{text-decoration:underline}";

/// What lies in a folder; `path` is that of the request and ends with a slash.
pub(super) fn listing(path: &str, entries: &[Entry]) -> String {
    let title = escape(path);
    let mut rows = String::new();
    if path != "/" {
        rows.push_str(r#"<tr><td class="name"><a href="../">../</a></td><td class="size">-</td><td class="mtime">-</td></tr>"#);
        rows.push('\n');
    }
    for entry in entries {
        let slash = if entry.folder { "/" } else { "" };
        let href = utf8_percent_encode(&entry.name, COMPONENT);
        let size = if entry.folder { "-".to_owned() } else { size(entry.bytes) };
        let modified = DateTime::from_timestamp(entry.modified, 0)
            .map_or_else(|| "-".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S").to_string());
        writeln!(
            rows,
            r#"<tr><td class="name"><a href="{href}{slash}">{}{slash}</a></td><td class="size">{size}</td><td class="mtime">{modified}</td></tr>"#,
            escape(&entry.name),
        )
        .expect("a string takes everything");
    }
    format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>Index of {title}</title><style>{STYLE}</style></head><body><h1>Index of {title}</h1>\
<table><thead><tr><th>Name</th><th class=\"size\">Size</th><th>Last Modified</th></tr></thead>\
<tbody>\n{rows}</tbody></table></body></html>\n"
    )
}

fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let bytes_f = bytes as f64;
    match bytes {
        0..1_024 => format!("{bytes}B"),
        1_024..1_048_576 => format!("{:.1}K", bytes_f / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1}M", bytes_f / 1_048_576.0),
        _ => format!("{:.1}G", bytes_f / 1_073_741_824.0),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup() {
        let entry = |name: &str, folder| Entry { name: name.into(), folder, bytes: 2048, modified: 0 };
        let page = listing("/<x>/", &[entry("a b", true), entry("\"><script>.js", false)]);
        assert!(page.contains("Index of /&lt;x&gt;/"), "{page}");
        assert!(page.contains(r#"<a href="a%20b/">a b/</a>"#), "{page}");
        assert!(page.contains(r#"href="%22%3E%3Cscript%3E.js">&quot;&gt;&lt;script&gt;.js</a>"#), "{page}");
        assert!(page.contains(">2.0K<") && page.contains("1970-01-01 00:00:00"), "{page}");
        assert!(!page.contains("<script>"), "{page}");
    }
}
