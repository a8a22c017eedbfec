//! The recurrence: the strategies that can run it, and the choice among them.
//!
//! A strategy is a file here, a shader, a line in [`list::ALL`] and a name in [`Strategy`](crate::settings::Strategy).

pub(crate) mod choice;
pub(crate) mod chunk;
pub(crate) mod entry;
pub(crate) mod exchange;
pub(crate) mod later;
pub(crate) mod launch;
pub(crate) mod list;
pub(crate) mod numbers;
pub(crate) mod recurrence;
pub(crate) mod residency;
pub(crate) mod solo;
pub(crate) mod solo_made;
pub(crate) mod solo_shape;
pub(crate) mod step;
pub(crate) mod step_forms;
pub(crate) mod step_layer;
pub(crate) mod step_matrix;
pub(crate) mod step_matrix_form;
pub(crate) mod step_params;
pub(crate) mod step_trial;
pub(crate) mod step_wide;
pub(crate) mod team;
pub(crate) mod team_candidates;
pub(crate) mod team_kept;
pub(crate) mod team_launches;
pub(crate) mod team_made;
pub(crate) mod team_make;
pub(crate) mod team_parts;
pub(crate) mod team_shape;
pub(crate) mod team_wide;
pub(crate) mod team_wide_launches;
pub(crate) mod team_wide_shape;
#[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser has no files"))]
pub(crate) mod tuned;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod tuning_file;
