//! The dashboard: the model's snapshots on a terminal, live.
//!
//! Four rooms of its own. **Frames** ([`frame`]) come from the room of the model, at most one is asked for at a time. **State**
//! ([`state`]) takes frames and actions and never draws. **Views** ([`views`], one file each) make tables and pictures of a
//! frame; [`draw`] puts them on the screen and says where things came to stand, for the mouse. **The loop** ([`run`]) alone
//! touches the terminal, the clock and files. Keys ([`keys`]) and looks ([`theme`]) are data.

pub(crate) mod action;
pub(crate) mod draw;
pub(crate) mod flow_rates;
mod frame;
pub(crate) mod history;
pub(crate) mod keys;
pub(crate) mod line_edit;
pub(crate) mod list;
pub(crate) mod output;
pub(crate) mod own_cost;
pub(crate) mod rehearsal;
pub(crate) mod run;
#[cfg(test)]
mod screens;
pub(crate) mod since;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod theme;
pub(crate) mod views;
