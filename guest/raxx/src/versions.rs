//! States with a version, each of which knows the version before it. Typed functions turn
//! one shape of the state into the next.

use std::marker::PhantomData;

use crate::{Postcard, Server, State, Upgrade};

/// A shape of the state of an app, and the conversions from and to the shape before it.
///
/// A state of an older version is converted step by step along the chain of `Previous`, and
/// converted back the same way. So each release adds one type and two functions, and does
/// not touch those of earlier releases. Export it with
/// [`export_versioned!`](crate::export_versioned).
///
/// ```
/// use raxx::{NoPrevious, Versioned};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Count { ticks: u64 }
///
/// impl Versioned for Count {
///     const VERSION: u32 = 1;
///     type Previous = NoPrevious;
///     fn from_previous(previous: NoPrevious) -> Result<Self, String> { match previous {} }
/// }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Named { name: String, ticks: u64 }
///
/// impl Versioned for Named {
///     const VERSION: u32 = 2;
///     type Previous = Count;
///     fn from_previous(previous: Count) -> Result<Self, String> {
///         Ok(Named { name: "unnamed".into(), ticks: previous.ticks })
///     }
///     fn into_previous(self) -> Result<Count, String> {
///         Ok(Count { ticks: self.ticks })
///     }
/// }
/// ```
pub trait Versioned: serde::Serialize + serde::de::DeserializeOwned {
    /// The version of this shape: at least 1, and higher than the version of the shape
    /// before it. An app that exports no version has version 0.
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

impl Versioned for NoPrevious {
    const VERSION: u32 = 0;
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

/// The [`Upgrade`] of an app whose state is [`Versioned`].
pub struct Versions<T>(PhantomData<T>);

impl<T: Versioned> Versions<T> {
    /// The versions of this app. A version that is not higher than the one before does not
    /// compile.
    pub fn of<A: Server<State = Postcard<T>>>(_app: &A) -> Self {
        const {
            assert!(
                T::VERSION > <T::Previous as Versioned>::VERSION,
                "the version of a state is 1 or more, and higher than that of the one before"
            );
        }
        Self(PhantomData)
    }
}

impl<T: Versioned> Upgrade for Versions<T> {
    const STATE_VERSION: u32 = T::VERSION;

    fn code_change(&self, from_version: u32, state: Vec<u8>) -> Result<Vec<u8>, String> {
        T::take_over(from_version, state).map(|state| Postcard(state).encode())
    }

    fn code_change_down(&self, to_version: u32, state: Vec<u8>) -> Result<Vec<u8>, String> {
        read::<T>(state)?.go_back(to_version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Request, Step, continue_with};

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct One(u8);
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Two(u8, String);
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
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

    struct App;
    impl Server for App {
        type State = Postcard<Five>;
        fn handle_head(&self, _: Request, _: &[u8]) -> Step<Postcard<Five>> {
            continue_with(Postcard(Five(Vec::new()))).into()
        }
    }

    #[test]
    fn a_state_is_taken_over_from_each_older_version() {
        let versions = Versions::of(&App);
        let five = |bytes: Vec<u8>| Postcard::<Five>::decode(bytes).map(|Postcard(five)| five);
        let from_one = versions.code_change(1, Postcard(One(3)).encode()).unwrap();
        assert_eq!(five(from_one), Ok(Five(vec!["new".into(); 3])));
        let from_two = Postcard(Two(1, "x".into())).encode();
        let from_two = versions.code_change(2, from_two).unwrap();
        assert_eq!(five(from_two), Ok(Five(vec!["x".into()])));
    }

    #[test]
    fn a_state_goes_back_to_each_older_version() {
        let versions = Versions::of(&App);
        let state = || Postcard(Five(vec!["x".into(); 2])).encode();
        let two = versions.code_change_down(2, state()).unwrap();
        assert_eq!(two, Postcard(Two(2, "x".into())).encode());
        let one = versions.code_change_down(1, state()).unwrap();
        assert_eq!(one, Postcard(One(2)).encode());
    }

    #[test]
    fn what_is_refused_on_the_way_is_refused_with_the_reason() {
        let versions = Versions::of(&App);
        let zero = versions.code_change(1, Postcard(One(0)).encode());
        assert_eq!(zero, Err("zero is refused".into()));
        let gap = versions.code_change(3, Vec::new());
        assert_eq!(gap, Err("version 3 of the state is not known".into()));
        let broken = versions.code_change(2, vec![1]).unwrap_err();
        assert!(broken.contains("Two"), "{broken}");
        let first = versions.code_change_down(0, Postcard(Five(vec!["x".into()])).encode());
        assert_eq!(first, Err("version 1 of the state does not go back".into()));
    }
}
