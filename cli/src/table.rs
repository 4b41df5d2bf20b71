//! Tables for people: no borders, columns two spaces apart, figures on the right.

use comfy_table::{Attribute, Cell as ComfyCell, CellAlignment, Color, ContentArrangement, presets};

use crate::output::Tone;

/// One field of a row.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }

    pub(crate) fn tone(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    /// A dash for what is not known.
    pub(crate) fn maybe(text: Option<impl Into<String>>) -> Self {
        text.map_or_else(|| Self::tone("-", Tone::Quiet), Self::new)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

/// A table that grows row by row.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Names of the columns; one that begins with `>` has its content on the right.
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let row: Vec<Cell> = cells.into_iter().collect();
        debug_assert_eq!(row.len(), self.header.len(), "a row has a field for each column");
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text; wrapped into the width of a terminal, if one is given.
    pub(crate) fn render(&self, colour: bool, width: Option<u16>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(width.max(40));
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.set_header(
            self.header
                .iter()
                .map(|name| ComfyCell::new(name.trim_start_matches('>')).add_attribute(Attribute::Dim)),
        );
        for row in &self.rows {
            table.add_row(row.iter().map(comfy_cell));
        }
        for (column, name) in table.column_iter_mut().zip(&self.header) {
            column.set_padding((0, 2));
            if name.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n")
    }
}

fn comfy_cell(cell: &Cell) -> ComfyCell {
    let text = ComfyCell::new(&cell.text);
    match cell.tone {
        Tone::Plain | Tone::Source(_) => text,
        Tone::Quiet => text.add_attribute(Attribute::Dim),
        Tone::Strong => text.add_attribute(Attribute::Bold),
        Tone::Good => text.fg(Color::DarkGreen),
        Tone::Warning => text.fg(Color::DarkYellow),
        Tone::Bad => text.fg(Color::DarkRed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&["NAME", "STATE", ">MEMORY", "NOTE"]);
        table.row([
            "app-1".into(),
            Cell::tone("up", Tone::Good),
            "94.0 MB".into(),
            Cell::maybe(None::<String>),
        ]);
        table.row([
            "database-1".into(),
            Cell::tone("down", Tone::Bad),
            "1 GB".into(),
            "no beat for 3 m".into(),
        ]);
        table
    }

    #[test]
    fn columns_line_up_without_borders_or_trailing_spaces() {
        insta::assert_snapshot!(sample().render(false, None), @r"
        NAME        STATE   MEMORY  NOTE
        app-1       up     94.0 MB  -
        database-1  down      1 GB  no beat for 3 m
        ");
    }

    #[test]
    fn colour_appears_only_on_request() {
        assert!(!sample().render(false, Some(80)).contains('\u{1b}'));
        assert!(sample().render(true, Some(80)).contains('\u{1b}'));
    }
}
