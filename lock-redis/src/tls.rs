//! The cryptography of `rediss://`.

use rustls::crypto::{CryptoProvider, ring};

/// Sees to it that the process has a default, without which the driver panics. One that the application chose stays.
pub(crate) fn provide() {
    if CryptoProvider::get_default().is_none() {
        // Refused if somebody else was faster, which is as good.
        let _ = ring::default_provider().install_default();
    }
}
