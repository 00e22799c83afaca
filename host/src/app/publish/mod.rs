//! Takes publications to the other nodes. What is published here goes to every
//! member, in batches over the control channel. What comes from members goes to the
//! exchanges that have subscribed.
//!
//! ```text
//! exchange -> Topics -> queue of the node -> a line for each member -> POST /publish
//!                  \-> mailboxes                                          |
//!                          ^---------------- Inbox of the member <--------+
//! ```
//!
//! A publication arrives at most once, and in the order of the node that published
//! it. A batch that may have arrived is never sent again, and a receiver drops what
//! is not newer than what it has. Nobody waits: a member that is slow or gone loses
//! what has no room, and that is counted.

mod batch;
mod inbox;
mod outbox;

pub use inbox::Inbox;
pub use outbox::run;
