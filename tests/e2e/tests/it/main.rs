//! The whole product from outside, and the rules of its repository.

mod daemon;
mod display;
mod goal;
mod histories;
mod isolation;
mod neovim;
mod repository;
mod review;
mod vscode;
