//! Counts, each declared in one place: its name, its meaning, and its words in `host status`. A
//! reason to refuse something also has its log line there.
//!
//! From such a list, [`counts!`](crate::counts) makes a struct of counts, which is also what
//! the API shows. [`reasons!`](crate::reasons) makes an enum of the reasons too. A new count
//! needs no other place.

use parking_lot::Mutex;

/// A struct of counts, each with its words for people.
#[macro_export]
macro_rules! counts {
    (
        $(#[$about:meta])*
        $visible:vis struct $Counts:ident {
            $( $(#[$meaning:meta])* $count:ident: $words:literal, )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ::serde::Serialize, ::serde::Deserialize)]
        // A node of another version may not count the same.
        #[serde(default)]
        $visible struct $Counts {
            $( $(#[$meaning])* $visible $count: u64, )+
        }

        impl $Counts {
            /// Each count with its words, in the order in which people read them.
            $visible fn told(&self) -> impl Iterator<Item = (u64, &'static str)> + use<> {
                [$( (self.$count, $words) ),+].into_iter()
            }
        }
    };
}

/// An enum of reasons to refuse something, each with its log line, and a struct that counts the
/// refusals for each reason.
#[macro_export]
macro_rules! reasons {
    (
        $(#[$about:meta])*
        $visible:vis enum $Reason:ident;
        $(#[$counts_about:meta])*
        $counts_visible:vis struct $Counts:ident;
        $( $(#[$meaning:meta])* $Variant:ident, $count:ident: $words:literal, $line:literal $(, $part:expr)*; )+
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $visible enum $Reason {
            $( $(#[$meaning])* $Variant, )+
        }

        impl ::std::fmt::Display for $Reason {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                match self {
                    $( $Reason::$Variant => ::std::write!(f, $line $(, $part)*), )+
                }
            }
        }

        $crate::counts! {
            $(#[$counts_about])*
            $counts_visible struct $Counts {
                $( $(#[$meaning])* $count: $words, )+
            }
        }

        impl $Counts {
            /// Counts one refusal for this reason.
            $visible fn count(&mut self, why: $Reason) {
                match why {
                    $( $Reason::$Variant => self.$count += 1, )+
                }
            }

            /// How many refusals had this reason.
            $visible fn of(&self, why: $Reason) -> u64 {
                match why {
                    $( $Reason::$Variant => self.$count, )+
                }
            }

            /// How many refusals there were, for any reason.
            $visible fn total(&self) -> u64 {
                self.told().map(|(count, _)| count).sum()
            }
        }
    };
}

/// Counts that several tasks write, and that are read as one.
#[derive(Debug, Default)]
pub struct Counted<T>(Mutex<T>);

impl<T: Copy> Counted<T> {
    /// Counts something.
    pub fn count(&self, count: impl FnOnce(&mut T)) {
        count(&mut self.0.lock());
    }

    /// What was counted until now.
    pub fn now(&self) -> T {
        *self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::reasons! {
        /// Why a guest was sent away.
        enum Reason;
        /// Guests that were sent away.
        struct SentAway;
        /// It is late.
        Late, late: "came late", "the kitchen is closed";
        /// No table is free.
        Full, full: "found no table", "no table is free";
    }

    #[test]
    fn a_reason_has_its_line_and_its_count_and_the_count_its_words() {
        let counted = Counted::<SentAway>::default();
        counted.count(|them| them.count(Reason::Full));
        counted.count(|them| them.full += 1);
        let now = counted.now();
        assert_eq!((now.of(Reason::Full), now.total()), (2, 2));
        assert_eq!(Reason::Late.to_string(), "the kitchen is closed");
        let told: Vec<_> = now.told().collect();
        assert_eq!(told, [(0, "came late"), (2, "found no table")]);
    }
}
