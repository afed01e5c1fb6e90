//! What is particular to PostgreSQL, on servers and in databases that each test has alone.

#![allow(clippy::disallowed_methods, reason = "tests wait and spawn on purpose")]

mod access;
mod counts;
mod help;
mod left;
mod order;
mod outages;
mod pins;
mod pools;
mod settings;
mod tls;
mod turns;
