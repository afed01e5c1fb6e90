//! What is particular to etcd, on servers that each test has alone: to kill, to cut off, to fill and to poison.

#![allow(clippy::disallowed_methods, reason = "tests wait and spawn on purpose")]

mod access;
mod cluster;
mod counts;
mod groups;
mod help;
mod leases;
mod names;
mod outages;
mod poison;
mod space;
mod tls;
mod tokens;
mod turns;
