//! Rows as a table on a terminal.

use ops::text::one_line;

/// Rows beneath their column names. Each column but the first has at most `most` characters.
pub(crate) fn table(columns: &[&str], rows: &[Vec<String>], most: usize) -> String {
    let cut = |(column, cell): (usize, &String)| one_line(cell, if column == 0 { usize::MAX } else { most });
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().enumerate().map(cut).collect()).collect();
    let width = |(column, name): (usize, &&str)| {
        let longest = cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        longest.max(name.chars().count())
    };
    let widths: Vec<usize> = columns.iter().enumerate().map(width).collect();
    let line = |row: Vec<&str>| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let head = line(columns.to_vec());
    let rows = cells.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let rows = [vec!["a".to_owned(), "long text".to_owned()], vec!["bcd".to_owned(), String::new()]];
        assert_eq!(table(&["id", "x"], &rows, 6), "id   x\na    long …\nbcd");
        assert_eq!(table(&["id"], &[vec!["an id is whole".to_owned()]], 6), "id\nan id is whole");
    }
}
