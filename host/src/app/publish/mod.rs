//! Publications on their way to the other nodes. What is published here goes to
//! every member, in batches over the control channel; what comes from members
//! goes to the exchanges that have subscribed.
//!
//! ```text
//! exchange -> Topics -> queue of the node -> a line for each member -> POST /publish
//!                  \-> mailboxes                                          |
//!                          ^---------------- Inbox of the member <--------+
//! ```
//!
//! At most once, and in the order of the node that publishes: a batch that may
//! have arrived is never sent again, and who receives drops what is not newer
//! than what it has. Nobody waits: a member that is slow or gone loses what it
//! has no room for, and that is counted.

mod batch;
mod inbox;
mod outbox;

pub use inbox::Inbox;
pub use outbox::run;
