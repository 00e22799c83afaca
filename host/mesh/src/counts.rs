//! Counts of what goes between machines, except datagrams (counted by the core) and callers
//! (counted by the control channel). docs/api.md shows all of them.

cluster::counts! {
    /// Publications of apps between nodes, since the start. One publication that goes to five
    /// members counts five times.
    pub struct Publications {
        /// Sent, and the member has confirmed them.
        sent: "sent",
        /// Received from members, and passed on to the subscribers.
        received: "received",
        /// Not sent: the member was too slow or unreachable.
        dropped: "dropped, members slow or unreachable",
        /// Sent, but the member has not confirmed them.
        uncertain: "perhaps lost",
        /// Received from members, but not newer than what was there.
        stale: "came late or twice",
        /// Messages from members that are not a batch of publications.
        unreadable: "unreadable",
    }
}

cluster::counts! {
    /// Components that this node fetches from members.
    pub struct Fetches {
        /// How often a member gave bytes that are not of the component; they were dropped.
        wrong: "wrong bytes of a component from members",
    }
}
