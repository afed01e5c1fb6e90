//! What things are called in the database.

use std::sync::Arc;

use lock_core::{Error, ErrorKind, Result};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// The longest name of a table: others are made from it, and PostgreSQL cuts names at 63 bytes.
const LONGEST: usize = 48;

/// A schema and a table in it, after which everything else is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) schema: String,
    pub(crate) table: String,
}

impl Names {
    pub(crate) fn check(&self) -> Result<()> {
        for (what, name, longest) in [("schema", &self.schema, 63), ("table", &self.table, LONGEST)] {
            let plain = !name.chars().any(char::is_control) && !name.contains("$$");
            if name.is_empty() || name.len() > longest || !plain {
                let message = format!(
                    "the {what} is called {name:?}; it must be 1 to {longest} bytes without control characters and \"$$\""
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(())
    }

    /// The full, quoted name of what `{word}` stands for in the SQL of this crate.
    pub(crate) fn quoted(&self, word: &str) -> String {
        match word {
            "schema" => quote(&self.schema),
            // An index is in the schema of its table, and is created without one.
            "index" => quote(&format!("{}_owner", self.table)),
            "claims" => format!("{}.{}", quote(&self.schema), quote(&self.table)),
            other => format!("{}.{}", quote(&self.schema), quote(&format!("{}_{other}", self.table))),
        }
    }

    /// The SQL with names for words: `{claims}` becomes a name, `{'claims'}` a string that has it.
    pub(crate) fn fill(&self, template: &str) -> String {
        let mut sql = String::with_capacity(template.len() * 2);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            sql.push_str(before);
            match after.split_once('}') {
                Some((word, after))
                    if word.chars().all(|c| c.is_ascii_lowercase() || c == '\'') && !word.is_empty() =>
                {
                    match word.strip_prefix('\'').and_then(|word| word.strip_suffix('\'')) {
                        Some(word) => sql.push_str(&literal(&self.quoted(word))),
                        None => sql.push_str(&self.quoted(word)),
                    }
                    rest = after;
                }
                _ => {
                    sql.push('{');
                    rest = after;
                }
            }
        }
        sql.push_str(rest);
        sql
    }

    /// The same, as a statement.
    pub(crate) fn statement(&self, template: &str) -> SqlStr {
        AssertSqlSafe(Arc::<str>::from(self.fill(template))).into_sql_str()
    }
}

pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// As a string of SQL.
pub(crate) fn literal(text: &str) -> String {
    // With a backslash a plain literal would depend on a setting of the server.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Names;

    fn names(schema: &str, table: &str) -> Names {
        Names { schema: schema.into(), table: table.into() }
    }

    #[rstest]
    #[case::plain("locks", "claims", r#"SELECT E'"locks"."claims_number"' FROM "locks"."claims""#)]
    #[case::quotes(r#"a"b"#, "c'd", r#"SELECT E'"a""b"."c''d_number"' FROM "a""b"."c'd""#)]
    #[case::backslash(r"a\", "b", r#"SELECT E'"a\\"."b_number"' FROM "a\"."b""#)]
    #[case::a_word_of_ours("{claims}", "x", r#"SELECT E'"{claims}"."x_number"' FROM "{claims}"."x""#)]
    fn names_are_quoted(#[case] schema: &str, #[case] table: &str, #[case] sql: &str) {
        assert_eq!(names(schema, table).fill("SELECT {'number'} FROM {claims}"), sql);
    }

    #[test]
    fn braces_of_sql_stay() {
        assert_eq!(names("a", "b").fill("'{}' {claims}"), r#"'{}' "a"."b""#);
    }

    #[rstest]
    #[case::empty("", "claims", false)]
    #[case::good("locks", "claims", true)]
    #[case::long("locks", &"x".repeat(49), false)]
    #[case::control("locks", "a\0b", false)]
    #[case::ends_a_function("locks", "a$$b", false)]
    fn names_that_cannot_be_are_refused(#[case] schema: &str, #[case] table: &str, #[case] good: bool) {
        assert_eq!(names(schema, table).check().is_ok(), good);
    }
}
