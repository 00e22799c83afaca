//! What is counted of what goes between machines, beside datagrams (by the core)
//! and callers (by the control channel). Docs/api.md shows all of it.

cluster::counts! {
    /// What apps published, between nodes, since the start. One publication that goes
    /// to five members counts five times.
    pub struct Publications {
        /// Sent, and the member said that it has them.
        sent: "sent",
        /// Came from members, and went to those who have subscribed.
        received: "received",
        /// Not sent: the member was too slow, or not reached.
        dropped: "dropped, members slow or unreachable",
        /// Sent, and the member did not say that it has them.
        uncertain: "perhaps lost",
        /// Came from members, but not newer than what was there.
        stale: "came late or twice",
        /// Messages from members that are no batch of publications.
        unreadable: "unreadable",
    }
}

cluster::counts! {
    /// Components that are fetched from members.
    pub struct Fetches {
        /// How often a member gave bytes that are not of the component; they were
        /// dropped.
        wrong: "wrong bytes of an app from members",
    }
}
