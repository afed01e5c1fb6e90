//! A stale holder is fenced out: recorded while it happens, and drawn.
//!
//! - [`event`] is what is recorded, [`recorded`] a store that records what is asked of it and what it answers.
//! - [`sequence`] draws events between lanes, [`canvas`] what it draws on.

pub mod canvas;
pub mod event;
pub mod recorded;
pub mod sequence;
