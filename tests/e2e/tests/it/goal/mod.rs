//! Goals from plan files, prompts and editors, with every agent.

mod claude;
mod from_position;
mod network;
mod packages;
mod permissions;
mod plan_document;
mod plan_files;
mod provider;
mod repairs;
mod workspaces;
