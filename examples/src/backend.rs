//! The store behind a URL.

use std::sync::Arc;

use anyhow::{Result, bail};
use lock_core::Backend;
use lock_sqlite::Sqlite;

/// Connects to the store that a URL names.
///
/// # Errors
///
/// One line: nobody knows the scheme, or the store cannot be reached. It repeats no password.
pub async fn connect(url: &str) -> Result<Arc<dyn Backend>> {
    match url.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => Ok(Arc::new(Sqlite::open(path).await?)),
        Some(("sqlite", _)) => bail!("--backend sqlite: has no path; expected sqlite:PATH"),
        Some((scheme, _)) => bail!("--backend {scheme}: is not a store known here; expected sqlite:PATH"),
        None => bail!("--backend has no scheme; expected sqlite:PATH"),
    }
}
