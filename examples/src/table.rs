//! The closing table.

use std::fmt;
use std::time::Duration;

/// Lines of a name, a figure and a remark.
#[derive(Clone, Debug, Default)]
pub struct Table(Vec<[String; 3]>);

impl Table {
    /// Adds a line with a count.
    pub fn count(&mut self, name: &str, count: usize, remark: &str) {
        self.0.push([name.to_owned(), grouped(count), remark.to_owned()]);
    }

    /// Adds a line with a time.
    pub fn time(&mut self, name: &str, time: Duration, remark: &str) {
        self.0.push([name.to_owned(), format!("{:.1} s", time.as_secs_f64()), remark.to_owned()]);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.0.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let (names, figures) = (width(0), width(1));
        for [name, figure, remark] in &self.0 {
            let line = format!("{name:names$}  {figure:>figures$}  {remark}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A count with a comma between thousands.
pub fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_below_each_other() {
        let mut table = Table::default();
        table.count("orders", 3000, "in the file");
        table.count("errors", 0, "");
        table.time("time", Duration::from_millis(1234), "");
        assert_eq!(table.to_string(), "orders  3,000  in the file\nerrors      0\ntime    1.2 s\n");
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
