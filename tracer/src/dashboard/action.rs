//! What a user can ask for, and what of it is done outside of the state.

use super::{line_edit::Edit, list::Move};

/// What a key or the mouse asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Leave.
    Quit,
    /// Stop until the shell goes on.
    Suspend,
    /// Paint everything anew.
    Redraw,
    /// Show the view with this number.
    View(usize),
    /// Show the next view.
    NextView,
    /// Show the one before.
    PreviousView,
    /// Move in the list; scroll what is open.
    Move(Move),
    /// Open the selected row.
    Open,
    /// Close what is open, or take the filter away.
    Close,
    /// Sort by the next column.
    SortNext,
    /// Sort by the column before.
    SortPrevious,
    /// Sort the other way round.
    Reverse,
    /// Start to type a filter.
    Filter,
    /// Type.
    Edit(Edit),
    /// Take what was typed.
    Accept,
    /// Leave it as it was.
    Cancel,
    /// Stop the picture, or let it go on.
    Pause,
    /// Count from here.
    Clear,
    /// Count from the begin again.
    Unclear,
    /// Show frames more often.
    Faster,
    /// Show them less often.
    Slower,
    /// Keep to the first row, or to the selected one.
    Follow,
    /// Show all keys.
    Help,
    /// Write all that is known as JSON.
    WriteDocument,
    /// Begin to write a line of JSON for each operation and transfer, or end it.
    ToggleStream,
    /// Copy the selected row.
    Copy,
    /// The next look.
    Theme,
    /// The mouse was clicked there: column and row of the screen.
    Click(u16, u16),
}

/// What the loop has to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// End.
    Quit,
    /// Stop the process until it is continued.
    Suspend,
    /// Paint everything anew.
    Redraw,
    /// Ask for a frame now: more is to be shown than the last one has.
    Look,
    /// Frames come at another interval.
    Interval,
    /// Write a document.
    WriteDocument,
    /// Begin or end writing lines.
    ToggleStream,
    /// Put this on the clipboard.
    Copy(String),
}
