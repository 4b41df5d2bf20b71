//! Tables as pm2 draws them: fixed widths, one blank on each side, longer texts cut with `…`.

use crate::style::{Code, Style};

/// A cell: a text, and how it looks where there are colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    codes: Vec<Code>,
}

impl Cell {
    /// Without colour.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), codes: Vec::new() }
    }

    /// Coloured.
    pub(crate) fn coloured(text: impl Into<String>, codes: &[Code]) -> Self {
        Self { text: text.into(), codes: codes.to_vec() }
    }

    fn drawn(&self, width: usize, style: Style) -> String {
        // The blanks on both sides belong to the column.
        let room = width.saturating_sub(2);
        let length = self.text.chars().count();
        let text: String = if length > room {
            self.text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
        } else {
            self.text.clone()
        };
        let padding = " ".repeat(room.saturating_sub(text.chars().count()));
        format!(" {}{padding} ", style.paint(&self.codes, &text))
    }
}

/// A table with a head; widths count the blanks.
pub(crate) fn with_head(head: &[(&str, usize)], rows: &[Vec<Cell>], style: Style) -> String {
    let widths: Vec<usize> = head.iter().map(|(_, width)| *width).collect();
    let titles: Vec<Cell> =
        head.iter().map(|(title, _)| Cell::coloured(*title, &[Code::Cyan, Code::Bold])).collect();
    let mut text = rule(&widths, '┌', '┬', '┐');
    text.push_str(&row(&titles, &widths, style));
    if !rows.is_empty() {
        text.push_str(&rule(&widths, '├', '┼', '┤'));
    }
    for cells in rows {
        text.push_str(&row(cells, &widths, style));
    }
    text + &rule(&widths, '└', '┴', '┘')
}

/// A table without a head, as wide as its contents.
pub(crate) fn without_head(rows: &[Vec<Cell>], style: Style) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let longest =
                rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max();
            longest.unwrap_or(0) + 2
        })
        .collect();
    let mut text = rule(&widths, '┌', '┬', '┐');
    for cells in rows {
        text.push_str(&row(cells, &widths, style));
    }
    text + &rule(&widths, '└', '┴', '┘')
}

fn rule(widths: &[usize], left: char, middle: char, right: char) -> String {
    let lines: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    format!("{left}{}{right}\n", lines.join(&middle.to_string()))
}

fn row(cells: &[Cell], widths: &[usize], style: Style) -> String {
    let drawn: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| cell.drawn(*width, style)).collect();
    format!("│{}│\n", drawn.join("│"))
}
