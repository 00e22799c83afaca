//! Makes a failing scenario shorter while it still fails, so that a person sees what matters in
//! it.

use super::scenario::{Op, Scenario};

impl Scenario {
    /// A scenario that still fails, without the operations, far nodes and loss that are not
    /// needed for that.
    pub fn shrunk(&self, fails: impl Fn(&Scenario) -> bool) -> Scenario {
        let mut least = self.clone();
        let mut shorter = true;
        while std::mem::take(&mut shorter) {
            for candidate in least.candidates() {
                if fails(&candidate) {
                    least = candidate;
                    shorter = true;
                    break;
                }
            }
        }
        least
    }

    /// All scenarios that are a little shorter.
    fn candidates(&self) -> Vec<Scenario> {
        let mut all = Vec::new();
        for at in 0..self.ops.len() {
            let mut without = self.clone();
            without.ops.remove(at);
            all.push(without);
        }
        for at in 0..self.ops.len() {
            // Two pauses in a row are joined.
            if let [Op::Wait(one), Op::Wait(other)] = self.ops[at..(at + 2).min(self.ops.len())] {
                let mut joined = self.clone();
                joined.ops[at] = Op::Wait(one + other);
                joined.ops.remove(at + 1);
                all.push(joined);
            }
        }
        if self.lossy {
            let lossy = false;
            all.push(Scenario {
                lossy,
                ..self.clone()
            });
        }
        if self.far > 0 {
            let far = self.far - 1;
            all.push(Scenario {
                far,
                ..self.clone()
            });
        }
        if self.nodes > 2 && self.far < self.nodes - 1 {
            let nodes = self.nodes - 1;
            all.push(Scenario {
                nodes,
                ..self.clone()
            });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failure_does_not_need_is_left_out() {
        let long: Scenario =
            "seed 1; nodes 6; far 2; wait 10; kill 1; start 2; wait 20; wait 5; freeze 0 9"
                .parse()
                .expect("a scenario");
        let needs = |scenario: &Scenario| {
            scenario.nodes >= 3
                && scenario.ops.contains(&Op::Kill(1))
                && scenario.ops.contains(&Op::Freeze(0, 9))
        };
        assert_eq!(
            long.shrunk(needs).to_string(),
            "seed 1; nodes 3; far 0; kill 1; freeze 0 9"
        );
    }
}
