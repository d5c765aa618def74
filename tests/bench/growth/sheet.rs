//! The table of a curve: a column for each point, a line for each figure.

use std::fmt;

use crate::instance::Cost;
use crate::meter;

/// A table under way.
pub(crate) struct Sheet {
    title: String,
    points: Vec<String>,
    lines: Vec<(String, Vec<String>)>,
}

impl Sheet {
    /// An empty table with these points.
    pub(crate) fn new(title: &str, points: &[usize]) -> Self {
        Self { title: title.to_owned(), points: points.iter().map(|point| thousands(*point)).collect(), lines: vec![] }
    }

    /// The number of points that have figures.
    pub(crate) fn columns(&self) -> usize {
        self.lines.first().map_or(0, |(_, figures)| figures.len())
    }

    /// Adds what a request took at the next point.
    pub(crate) fn add(&mut self, what: &str, cost: Cost) {
        let Cost { answers, calls, reads, writes, cpu } = cost;
        let answers = if answers > 1.0 { format!(" in {answers} answers") } else { String::new() };
        self.figure(&format!("{what}: calls"), plain(calls) + &answers);
        self.figure(&format!("{what}: read units"), plain(reads));
        if writes > 0.0 {
            self.figure(&format!("{what}: write units"), plain(writes));
        }
        let cpu = if cpu.is_nan() { "?".to_owned() } else { format!("{:.2} ms", cpu * 1e3) };
        self.figure(&format!("{what}: CPU"), cpu);
    }

    /// Adds the most memory that this process ever had. The points are ascending, so it is that of the last request.
    pub(crate) fn add_peak_memory(&mut self) {
        let kilobytes = meter::peak_memory();
        let figure = kilobytes.map_or("?".to_owned(), |kilobytes| format!("{:.0} MB", kilobytes as f64 / 1024.0));
        self.figure("peak memory", figure);
    }

    /// Adds a figure at the next point.
    pub(crate) fn figure(&mut self, what: &str, figure: String) {
        match self.lines.iter_mut().find(|(name, _)| name == what) {
            Some((_, figures)) => figures.push(figure),
            None => self.lines.push((what.to_owned(), vec![figure])),
        }
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} | {} |", self.title, self.points.join(" | "))?;
        writeln!(f, "| --- |{}", " --- |".repeat(self.points.len()))?;
        self.lines.iter().try_for_each(|(what, figures)| writeln!(f, "| {what} | {} |", figures.join(" | ")))
    }
}

/// A number with at most two decimals.
fn plain(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn thousands(number: usize) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", thousands(number / 1_000), number % 1_000) }
}
