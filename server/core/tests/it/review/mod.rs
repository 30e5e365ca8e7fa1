//! Hunks of a proposal: how they are decided, followed and taken back.

mod decisions;
mod ledger;
mod live;
mod provenance;
mod typing;
