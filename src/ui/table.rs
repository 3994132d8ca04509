//! Aligned tables.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

/// A table with a header line. Columns of numbers are right-aligned.
pub fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(titles);
    let numeric = |column: usize| {
        let is_number = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit());
        rows.iter().filter_map(|row| row.get(column)).all(is_number)
    };
    let right: Vec<bool> =
        (0..titles.len()).map(|column| !rows.is_empty() && numeric(column)).collect();
    for row in rows {
        let cells = row.iter().zip(&right).map(|(text, right)| {
            let side = if *right { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(super::name(text)).set_alignment(side)
        });
        table.add_row(cells);
    }
    table.trim_fmt() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".into(), "9MB".into()], vec!["long".into(), "302.1KB".into()]];
        insta::assert_snapshot!(table(&["name", "size"], &rows));
    }
}
