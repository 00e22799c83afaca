//! Checks what an exchange sends, part by part.
//!
//! `head(none | whole)`, or `head(streamed) data* tail`, over all callbacks of
//! the exchange together.

use crate::contract::http::{Part, Response, ResponseBody};

/// How far the output of an exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequence {
    /// No head yet.
    Empty,
    /// A head with a streamed body. Its `content-length` may promise bytes that
    /// are still to come.
    Streaming {
        /// How many bytes are still to come; none if the head promised nothing.
        promised: Option<u64>,
    },
    /// The response is complete.
    Complete,
}

/// What an app sent against the rules. The text is for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Illegal {
    #[error("sent {0} before a head")]
    BeforeHead(&'static str),
    #[error("sent a second head")]
    SecondHead,
    #[error("sent {0} after its response was complete")]
    AfterEnd(&'static str),
    #[error("sent a WebSocket frame on an exchange that is not a WebSocket")]
    Frame,
    #[error("returned a complete response after its head was sent")]
    DoneAfterHead,
    #[error("returned a streamed body in a complete response")]
    DoneStreamed,
    #[error("sent more bytes than the content-length of its head")]
    TooMuch,
    #[error("ended {0} bytes short of the content-length of its head")]
    TooLittle(u64),
    #[error("asked to collect the body of a request that has none, or of which the end has come")]
    Collect,
    #[error("answered with a WebSocket, which this host does not serve yet")]
    WebSocket,
}

impl Sequence {
    /// Takes one part. `promised` is the `content-length` of a streamed head.
    pub(super) fn part(&mut self, part: &Part, promised: Option<u64>) -> Result<(), Illegal> {
        let name = match part {
            Part::Head(_) => "a head",
            Part::Data(_) => "data",
            Part::Tail(_) => "a tail",
            Part::Frame(_) => return Err(Illegal::Frame),
        };
        *self = match (*self, part) {
            (Sequence::Empty, Part::Head(response)) => Self::after_head(response, promised)?,
            (Sequence::Empty, _) => return Err(Illegal::BeforeHead(name)),
            (Sequence::Streaming { .. }, Part::Head(_)) => return Err(Illegal::SecondHead),
            (
                Sequence::Streaming {
                    promised: Some(left),
                },
                Part::Data(data),
            ) => {
                let left = left
                    .checked_sub(data.len() as u64)
                    .ok_or(Illegal::TooMuch)?;
                Sequence::Streaming {
                    promised: Some(left),
                }
            }
            (
                Sequence::Streaming {
                    promised: Some(left @ 1..),
                },
                Part::Tail(_),
            ) => {
                return Err(Illegal::TooLittle(left));
            }
            (Sequence::Streaming { .. }, Part::Tail(_)) => Sequence::Complete,
            (streaming @ Sequence::Streaming { .. }, _) => streaming,
            (Sequence::Complete, _) => return Err(Illegal::AfterEnd(name)),
        };
        Ok(())
    }

    /// Takes a complete response.
    pub(super) fn done(&mut self, response: &Response) -> Result<(), Illegal> {
        match self {
            Sequence::Empty => {}
            Sequence::Streaming { .. } => return Err(Illegal::DoneAfterHead),
            Sequence::Complete => return Err(Illegal::AfterEnd("a complete response")),
        }
        match Self::after_head(response, None)? {
            Sequence::Complete => {
                *self = Sequence::Complete;
                Ok(())
            }
            _ => Err(Illegal::DoneStreamed),
        }
    }

    fn after_head(response: &Response, promised: Option<u64>) -> Result<Sequence, Illegal> {
        match response.body {
            ResponseBody::None | ResponseBody::Whole(_) => Ok(Sequence::Complete),
            ResponseBody::Streamed => Ok(Sequence::Streaming { promised }),
            ResponseBody::Websocket => Err(Illegal::WebSocket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(body: ResponseBody) -> Part {
        Part::Head(Response {
            status: 200,
            headers: Vec::new(),
            body,
        })
    }

    fn data(bytes: usize) -> Part {
        Part::Data(vec![0; bytes])
    }

    fn tail() -> Part {
        Part::Tail(Vec::new())
    }

    fn check(parts: &[Part], promised: Option<u64>) -> Result<Sequence, Illegal> {
        let mut sequence = Sequence::Empty;
        for part in parts {
            sequence.part(part, promised)?;
        }
        Ok(sequence)
    }

    #[test]
    fn the_legal_sequences_are_taken() {
        let complete = Ok(Sequence::Complete);
        assert_eq!(check(&[head(ResponseBody::None)], None), complete);
        assert_eq!(check(&[head(ResponseBody::Whole(vec![1]))], None), complete);
        assert_eq!(
            check(&[head(ResponseBody::Streamed), tail()], None),
            complete
        );
        let streamed = [
            head(ResponseBody::Streamed),
            data(3),
            data(0),
            data(4),
            tail(),
        ];
        assert_eq!(check(&streamed, None), complete);
        assert_eq!(check(&streamed, Some(7)), complete);
    }

    #[test]
    fn every_other_sequence_is_named() {
        assert_eq!(check(&[data(1)], None), Err(Illegal::BeforeHead("data")));
        assert_eq!(check(&[tail()], None), Err(Illegal::BeforeHead("a tail")));
        let two = [head(ResponseBody::Streamed), head(ResponseBody::None)];
        assert_eq!(check(&two, None), Err(Illegal::SecondHead));
        let after = [head(ResponseBody::None), data(1)];
        assert_eq!(check(&after, None), Err(Illegal::AfterEnd("data")));
        let twice = [head(ResponseBody::Streamed), tail(), tail()];
        assert_eq!(check(&twice, None), Err(Illegal::AfterEnd("a tail")));
        let streamed = [head(ResponseBody::Streamed), data(3), tail()];
        assert_eq!(check(&streamed, Some(2)), Err(Illegal::TooMuch));
        assert_eq!(check(&streamed, Some(4)), Err(Illegal::TooLittle(1)));
        assert_eq!(
            check(&[head(ResponseBody::Websocket)], None),
            Err(Illegal::WebSocket)
        );
    }

    #[test]
    fn a_complete_response_is_only_for_an_exchange_without_a_head() {
        let whole = Response {
            status: 200,
            headers: Vec::new(),
            body: ResponseBody::None,
        };
        let streamed = Response {
            body: ResponseBody::Streamed,
            ..whole.clone()
        };
        assert_eq!(Sequence::Empty.done(&whole), Ok(()));
        assert_eq!(Sequence::Empty.done(&streamed), Err(Illegal::DoneStreamed));
        let mut streaming = Sequence::Streaming { promised: None };
        assert_eq!(streaming.done(&whole), Err(Illegal::DoneAfterHead));
        assert!(Sequence::Complete.done(&whole).is_err());
    }
}
