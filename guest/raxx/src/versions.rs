//! States with a version, each of which knows the version before it. Typed functions turn
//! one shape of the state into the next.

use postcard_schema::Schema;
use postcard_schema::schema::{DataModelType, NamedType};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Postcard, State, StateError};

/// A shape of the state of an app, and the conversions from and to the shape before it.
///
/// A state of an older version is converted step by step along the chain of `Previous`, and
/// converted back the same way. So each release adds one type and two functions, and does
/// not touch those of earlier releases. The state of the app is [`Versions`] of the newest.
///
/// A release whose state was [`Postcard`] had version 0.
///
/// ```
/// use postcard_schema::Schema;
/// use raxx::{NoPrevious, Versioned};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Schema)]
/// struct Count { ticks: u64 }
///
/// impl Versioned for Count {
///     const VERSION: u32 = 0;
///     type Previous = NoPrevious;
///     fn from_previous(previous: NoPrevious) -> Result<Self, String> { match previous {} }
/// }
///
/// #[derive(Serialize, Deserialize, Schema)]
/// struct Named { name: String, ticks: u64 }
///
/// impl Versioned for Named {
///     const VERSION: u32 = 1;
///     type Previous = Count;
///     fn from_previous(previous: Count) -> Result<Self, String> {
///         Ok(Named { name: "unnamed".into(), ticks: previous.ticks })
///     }
///     fn into_previous(self) -> Result<Count, String> {
///         Ok(Count { ticks: self.ticks })
///     }
/// }
/// ```
pub trait Versioned: Serialize + DeserializeOwned + Schema {
    /// The version of this shape. It is higher than the version of the shape before it; one
    /// that is not does not compile.
    const VERSION: u32;

    /// The shape before this one. [`NoPrevious`] if this is the first.
    type Previous: Versioned;

    /// Turn a state of the shape before into this shape.
    ///
    /// # Errors
    ///
    /// The reason of a refusal. The exchange is asked to end, and is counted.
    fn from_previous(previous: Self::Previous) -> Result<Self, String>;

    /// Turn a state of this shape back into the shape before, when an older release takes
    /// over again. Refused by default.
    ///
    /// # Errors
    ///
    /// The reason of a refusal, as in [`from_previous`](Self::from_previous).
    fn into_previous(self) -> Result<Self::Previous, String> {
        Err(format!(
            "version {} of the state does not go back",
            Self::VERSION
        ))
    }

    /// Whether there is a shape before this one, which its version must be higher than.
    #[doc(hidden)]
    const EXISTS: bool = true;

    /// Turns bytes of that version into a state of this shape.
    #[doc(hidden)]
    fn take_over(from: u32, bytes: Vec<u8>) -> Result<Self, String> {
        if from == Self::VERSION {
            return read(bytes);
        }
        Self::from_previous(Self::Previous::take_over(from, bytes)?)
    }

    /// Turns this state into bytes of that version.
    #[doc(hidden)]
    fn go_back(self, to: u32) -> Result<Vec<u8>, String> {
        if to == Self::VERSION {
            return Ok(Postcard(self).encode());
        }
        self.into_previous()?.go_back(to)
    }
}

fn read<T: Versioned>(bytes: Vec<u8>) -> Result<T, String> {
    match Postcard::decode(bytes) {
        Ok(Postcard(state)) => Ok(state),
        Err(error) => Err(error.to_string()),
    }
}

/// The shape before the first one. No such state exists.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub enum NoPrevious {}

impl Schema for NoPrevious {
    const SCHEMA: &'static NamedType = &NamedType {
        name: "NoPrevious",
        ty: &DataModelType::Enum(&[]),
    };
}

impl Versioned for NoPrevious {
    const VERSION: u32 = 0;
    const EXISTS: bool = false;
    type Previous = NoPrevious;

    fn from_previous(previous: NoPrevious) -> Result<Self, String> {
        match previous {}
    }

    fn take_over(from: u32, _bytes: Vec<u8>) -> Result<Self, String> {
        Err(format!("version {from} of the state is not known"))
    }

    fn go_back(self, _to: u32) -> Result<Vec<u8>, String> {
        match self {}
    }
}

/// A [`Versioned`] type as state, in the postcard format.
///
/// ```
/// use raxx::{Server, Versions};
/// # use raxx::{NoPrevious, Request, Step, Versioned, continue_with};
/// # #[derive(serde::Serialize, serde::Deserialize, postcard_schema::Schema)]
/// # struct Named { name: String, ticks: u64 }
/// # impl Versioned for Named {
/// #     const VERSION: u32 = 1;
/// #     type Previous = NoPrevious;
/// #     fn from_previous(previous: NoPrevious) -> Result<Self, String> { match previous {} }
/// # }
///
/// struct Counter;
///
/// impl Server for Counter {
///     type State = Versions<Named>;
///
///     fn handle_head(&self, _request: Request, _config: &[u8]) -> Step<Self::State> {
///         continue_with(Versions(Named { name: "tea".into(), ticks: 0 })).into()
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Versions<T>(pub T);

impl<T: Versioned> State for Versions<T> {
    const VERSION: u32 = {
        assert!(
            !T::Previous::EXISTS || T::VERSION > T::Previous::VERSION,
            "the version of a state is higher than that of the one before"
        );
        T::VERSION
    };

    fn encode(self) -> Vec<u8> {
        Postcard(self.0).encode()
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, StateError> {
        Postcard::decode(bytes).map(|Postcard(state)| Versions(state))
    }

    fn shape() -> String {
        Postcard::<T>::shape()
    }

    fn from_older(version: u32, bytes: Vec<u8>) -> Result<Self, String> {
        T::take_over(version, bytes).map(Versions)
    }

    fn into_older(self, version: u32) -> Result<Vec<u8>, String> {
        self.0.go_back(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, Schema)]
    struct One(u8);
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, Schema)]
    struct Two(u8, String);
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, Schema)]
    struct Five(Vec<String>);

    impl Versioned for One {
        const VERSION: u32 = 1;
        type Previous = NoPrevious;
        fn from_previous(previous: NoPrevious) -> Result<Self, String> {
            match previous {}
        }
    }

    impl Versioned for Two {
        const VERSION: u32 = 2;
        type Previous = One;
        fn from_previous(One(number): One) -> Result<Self, String> {
            match number {
                0 => Err("zero is refused".into()),
                number => Ok(Two(number, "new".into())),
            }
        }
        fn into_previous(self) -> Result<One, String> {
            Ok(One(self.0))
        }
    }

    impl Versioned for Five {
        const VERSION: u32 = 5;
        type Previous = Two;
        fn from_previous(Two(number, text): Two) -> Result<Self, String> {
            Ok(Five(vec![text; number.into()]))
        }
        fn into_previous(mut self) -> Result<Two, String> {
            let number = self.0.len() as u8;
            self.0
                .pop()
                .map(|text| Two(number, text))
                .ok_or("empty".into())
        }
    }

    type Newest = Versions<Five>;

    fn taken_over(from: u32, bytes: Vec<u8>) -> Result<Five, String> {
        Newest::from_older(from, bytes).map(|Versions(five)| five)
    }

    fn taken_back(to: u32, texts: usize) -> Result<Vec<u8>, String> {
        Versions(Five(vec!["x".into(); texts])).into_older(to)
    }

    #[test]
    fn a_state_is_taken_over_from_each_older_version() {
        let from_one = taken_over(1, Postcard(One(3)).encode());
        assert_eq!(from_one, Ok(Five(vec!["new".into(); 3])));
        let from_two = taken_over(2, Postcard(Two(1, "x".into())).encode());
        assert_eq!(from_two, Ok(Five(vec!["x".into()])));
        let own = taken_over(5, Postcard(Five(Vec::new())).encode());
        assert_eq!(own, Ok(Five(Vec::new())));
    }

    #[test]
    fn a_state_goes_back_to_each_older_version() {
        assert_eq!(taken_back(2, 2), Ok(Postcard(Two(2, "x".into())).encode()));
        assert_eq!(taken_back(1, 2), Ok(Postcard(One(2)).encode()));
    }

    #[test]
    fn what_is_refused_on_the_way_is_refused_with_the_reason() {
        let zero = taken_over(1, Postcard(One(0)).encode());
        assert_eq!(zero, Err("zero is refused".into()));
        let gap = taken_over(3, Vec::new());
        assert_eq!(gap, Err("version 3 of the state is not known".into()));
        let broken = taken_over(2, vec![1]).unwrap_err();
        assert!(broken.contains("Two"), "{broken}");
        let first = taken_back(0, 1);
        assert_eq!(first, Err("version 1 of the state does not go back".into()));
    }

    #[test]
    fn a_version_does_not_change_the_shape_of_a_state() {
        assert_eq!(Newest::VERSION, 5);
        assert_eq!(Newest::shape(), Postcard::<Five>::shape());
        assert_ne!(Newest::shape(), Versions::<Two>::shape());
    }
}
