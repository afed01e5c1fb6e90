//! Tests that need no server: tokio's paused clock and a gated store.
