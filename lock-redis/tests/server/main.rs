//! What is particular to Redis, on a server that each test has alone: to kill, to fill and to poison.

#![allow(clippy::disallowed_methods, reason = "tests wait and spawn on purpose")]

mod access;
mod counts;
mod failover;
mod groups;
mod help;
mod left;
mod outages;
mod poison;
mod replicas;
mod tokens;
mod turns;
mod wakeups;
