//! Who is let in: the table of nodes that were heard, what keeps a recording from working
//! twice, and the count of what is refused.

mod contacts;
mod refusals;
mod replay;

pub(crate) use self::contacts::*;
pub(crate) use self::refusals::Refusals;
pub use self::refusals::{Counters, Refusal, RefusedDatagrams, RefusedRecords};
pub(crate) use self::replay::{Bucket, Nonces, Window};
