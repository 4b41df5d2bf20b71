//! The table at the end of a proof.

/// One step of a proof.
pub(super) struct Row {
    pub(super) step: String,
    pub(super) held: bool,
    pub(super) figure: String,
}

/// Lays the rows out in columns.
pub(super) fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.step.chars().count()).max().unwrap_or(0).max(4);
    let rule = format!("{}  ------  {}\n", "-".repeat(width), "-".repeat(48));
    let mut text = format!("{:width$}  result  figure\n{rule}", "step");
    for row in rows {
        let result = if row.held { "held" } else { "FAILED" };
        text.push_str(&format!("{:width$}  {result:6}  {}\n", row.step, row.figure));
    }
    text + &rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |step: &str, held| Row { step: step.into(), held, figure: "1".into() };
        let table = table(&[row("deploy", true), row("a longer step", false)]);
        let columns: Vec<usize> =
            table.lines().filter_map(|line| line.find("held").or(line.find("FAILED"))).collect();
        assert_eq!(columns, [15, 15]);
    }
}
