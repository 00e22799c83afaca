//! Which lost requests a trouble explains. Pure: losses and excuses in, those that
//! nothing explains out.

use std::time::Instant;

/// A request that was not answered as it has to be.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    /// The machine of the node that was asked.
    pub(super) node: u8,
    /// When the request began.
    pub(super) began: Instant,
    /// When its client knew.
    pub(super) ended: Instant,
    /// What the client saw.
    pub(super) why: String,
}

/// What a trouble explains: that requests to one node are lost which overlap this
/// time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Excuse {
    /// The machine of the node.
    pub(super) node: u8,
    /// When the trouble began.
    pub(super) from: Instant,
    /// When it was over.
    pub(super) to: Instant,
}

impl Excuse {
    fn covers(&self, loss: &Loss) -> bool {
        self.node == loss.node && loss.began <= self.to && loss.ended >= self.from
    }
}

/// The losses that no trouble explains.
pub(super) fn unexplained(mut losses: Vec<Loss>, excuses: &[Excuse]) -> Vec<Loss> {
    losses.retain(|loss| !excuses.iter().any(|excuse| excuse.covers(loss)));
    losses
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_trouble_explains_losses_of_its_node_that_overlap_it_and_no_others() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let loss = |node, began, ended| Loss {
            node,
            began: at(began),
            ended: at(ended),
            why: format!("{node} {began}"),
        };
        let excuses = [Excuse {
            node: 2,
            from: at(10),
            to: at(12),
        }];
        let losses = vec![
            loss(2, 8, 9),
            loss(2, 9, 10),
            loss(2, 11, 11),
            loss(2, 12, 15),
            loss(2, 13, 14),
            loss(3, 11, 11),
        ];
        let left = unexplained(losses, &excuses);
        let left: Vec<&str> = left.iter().map(|loss| loss.why.as_str()).collect();
        assert_eq!(left, ["2 8", "2 13", "3 11"]);
    }
}
