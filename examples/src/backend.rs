//! The store behind a URL.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use lock_core::Backend;
use lock_postgres::Postgres;
use lock_redis::Redis;
use lock_sqlite::Sqlite;

/// The stores that are known here.
pub const KNOWN: &str = "sqlite:PATH, redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS, \
    postgres://[USER:PASSWORD@]HOST[:PORT][/DATABASE][#SCHEMA], \
    or etcd://[USER:PASSWORD@]HOST[:PORT][,HOST…][/PREFIX] in a program built with --features etcd, etcds:// for TLS";

/// The URL of a store. It may have a password: what is printed of it stops at the host, and goes on with the schema.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// A file of locks in a SQLite database.
    pub fn sqlite(path: &std::path::Path) -> Self {
        Self(format!("sqlite:{}", path.display()))
    }

    /// The whole of it, for another process of this program. Not for print.
    pub fn as_arg(&self) -> &str {
        &self.0
    }

    /// Connects to the store.
    ///
    /// # Errors
    ///
    /// One line: nobody knows the scheme, or the store cannot be reached. It repeats no password.
    pub async fn connect(&self) -> Result<Arc<dyn Backend>> {
        let failed = || self.to_string();
        match self.split() {
            #[cfg(feature = "etcd")]
            Some(("etcd" | "etcds", _)) => {
                Ok(Arc::new(lock_etcd::Etcd::connect(&self.0).await.with_context(failed)?))
            }
            #[cfg(not(feature = "etcd"))]
            Some((scheme @ ("etcd" | "etcds"), _)) => {
                bail!("--backend {scheme}: is not in this program; build it with --features etcd")
            }
            Some(("sqlite", "")) => bail!("--backend sqlite: has no path; expected sqlite:PATH"),
            Some(("sqlite", path)) => Ok(Arc::new(Sqlite::open(path).await.with_context(failed)?)),
            Some(("redis" | "rediss", _)) => {
                Ok(Arc::new(Redis::connect(&self.0).await.with_context(failed)?))
            }
            Some(("postgres" | "postgresql", _)) => Ok(Arc::new(self.postgres().await?)),
            Some((scheme, _)) => bail!("--backend {scheme}: is not a store known here; expected {KNOWN}"),
            None => bail!("--backend has no scheme; expected {KNOWN}"),
        }
    }

    /// Connects to a PostgreSQL.
    ///
    /// # Errors
    ///
    /// One line: it is none, or cannot be reached. It repeats no password.
    pub async fn postgres(&self) -> Result<Postgres> {
        let options = lock_postgres::Options::default();
        let options = self.schema().map_or(options.clone(), |schema| options.schema(schema));
        options.connect(self.server()).await.with_context(|| self.to_string())
    }

    /// Whether it is that of a PostgreSQL, which can keep other things than locks.
    pub fn is_postgres(&self) -> bool {
        self.0.starts_with("postgres://") || self.0.starts_with("postgresql://")
    }

    /// The schema of a PostgreSQL, if one is named.
    pub fn schema(&self) -> Option<&str> {
        // What has other characters may be part of a password.
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let named = |schema: &str| !schema.is_empty() && schema.len() < 64 && schema.chars().all(plain);
        let (_, schema) = self.0.rsplit_once('#').filter(|_| self.is_postgres())?;
        named(schema).then_some(schema)
    }

    /// The same place in another schema.
    #[must_use]
    pub fn in_schema(&self, schema: &str) -> Self {
        Self(format!("{}#{schema}", self.server()))
    }

    /// All but the schema: who has this in common is in one database.
    pub fn server(&self) -> &str {
        let end = self.schema().map_or(self.0.len(), |schema| self.0.len() - schema.len() - 1);
        &self.0[..end]
    }

    /// The word before the first colon, if it is one.
    pub fn scheme(&self) -> Option<&str> {
        self.split().map(|(scheme, _)| scheme)
    }

    /// The scheme and the rest. What stands before a colon and is no scheme may be part of a password.
    fn split(&self) -> Option<(&str, &str)> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        self.0.split_once(':').filter(|(scheme, _)| !scheme.is_empty() && scheme.chars().all(plain))
    }
}

impl From<String> for Url {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.split() {
            Some(("sqlite", path)) => write!(f, "sqlite:{path}"),
            Some((scheme, rest)) => {
                // Of all that stands before the last @, nothing: a password may have any character.
                let host = rest.rsplit('@').next().unwrap_or_default();
                let host = host.strip_prefix("//").or((host != rest).then_some(host)).unwrap_or_default();
                write!(f, "{scheme}://{}", host.split(['/', '?', '#']).next().unwrap_or_default())?;
                self.schema().map_or(Ok(()), |schema| write!(f, "#{schema}"))
            }
            None => f.write_str("…"),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[cfg(not(feature = "etcd"))]
    #[tokio::test]
    async fn without_etcd_the_error_names_the_feature() {
        let error =
            Url::from("etcds://me:secret@db.example".to_owned()).connect().await.expect_err("no etcd");
        let said = error.to_string();
        assert!(said.contains("--features etcd") && !said.contains("secret"), "{said}");
    }

    #[rstest]
    #[case::a_path("sqlite:/tmp/a@b/locks.db", "sqlite:/tmp/a@b/locks.db")]
    #[case::a_host("redis://db.example:6380", "redis://db.example:6380")]
    #[case::a_password("rediss://me:secret@db.example/3", "rediss://db.example")]
    #[case::a_password_that_is_not_escaped("redis://me:se/cret@s?ecret@db.example/3", "redis://db.example")]
    #[case::a_schema("postgres://me:secret@db.example/d?sslmode=require#mine", "postgres://db.example#mine")]
    #[case::a_password_that_looks_like_one("postgres://me:se#cret@db.example/d", "postgres://db.example")]
    #[case::an_option("redis://db.example?password=secret", "redis://db.example")]
    #[case::no_host("redis:secret", "redis://")]
    #[case::no_scheme("secret", "…")]
    #[case::a_scheme_that_is_none("me@secret:secret", "…")]
    fn a_url_is_shown_without_its_password(#[case] url: &str, #[case] shown: &str) {
        let url = Url::from(url.to_owned());
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), format!("Url({shown})"));
    }
}
