//! The same component with two plans is one release, and no plan is lost silently.

use super::*;

fn refused(set: &ReleaseSet, request: Request) -> DraftError {
    set.draft(request, WALL + 9, None)
        .expect_err("it is released")
}

#[test]
fn a_push_of_a_release_that_bakes_says_which_plan_holds() {
    let mut set = set(2);
    pushed(&mut set, "old", WALL);
    let new = release(&mut set, push(component("new"), staged(&[3, 4])), WALL + 1);
    let error = refused(&set, push(component("new"), Plan::default()));
    let (release, plan) = (new.id(), staged(&[3, 4]));
    assert_eq!(error, DraftError::OtherPlan { release, plan });
    let text = error.to_string();
    let plan = staged(&[3, 4]);
    let [one, other] = plan.canaries[..] else {
        panic!("two canaries");
    };
    let goes = format!("goes to {one}, {other} first, for 1s: that plan holds");
    assert!(text.contains(&goes), "{text}");
    let error = refused(&set, push(component("new"), staged(&[3, 4])));
    assert_eq!(error, DraftError::Same(release), "it is the same plan");
    let votes = [3, 4].map(|last| vote(&new, last, Verdict::Ok));
    set.learn(vec![], votes.to_vec());
    let error = refused(&set, push(component("new"), Plan::default()));
    assert_eq!(error, DraftError::Same(release), "all nodes serve it");
}

#[test]
fn a_staged_push_of_what_all_nodes_serve_says_so() {
    let mut set = set(2);
    pushed(&mut set, "old", WALL);
    pushed(&mut set, "new", WALL + 1);
    let error = refused(&set, push(component("new"), staged(&[3])));
    let text = error.to_string();
    assert!(text.contains("goes to all nodes at once"), "{text}");
}

#[test]
fn of_two_plans_decided_at_once_the_earlier_holds_and_the_other_node_hears_of_it_once() {
    for (first, second) in [(2u8, 3u8), (3, 2)] {
        let (mut one, mut other) = (set(2), set(3));
        pushed(&mut one, "old", WALL);
        tell(&one, &mut other);
        let mut books = [one, other];
        let mut made = Vec::new();
        for (turn, last) in [first, second].into_iter().enumerate() {
            let plan = [staged(&[5]), Plan::default()][turn].clone();
            let set = &mut books[usize::from(last) - 2];
            let draft = set.draft(push(component("new"), plan), WALL + 1 + turn as u64, None);
            made.push(draft.expect("a draft"));
            set.publish(made[turn].clone());
        }
        let [holds, lost] = [made[0].clone(), made[1].clone()];
        let [mut one, mut other] = books;
        news(&mut one);
        news(&mut other);
        for _ in 0..2 {
            tell(&one, &mut other);
            tell(&other, &mut one);
            one.learn(vec![lost.clone()], vec![]);
            other.learn(vec![lost.clone()], vec![]);
        }
        let told = |set: &mut ReleaseSet| {
            let all = news(set).into_iter();
            all.filter(|it| matches!(it, News::OtherPlan { .. }))
                .collect::<Vec<_>>()
        };
        let by_node = [told(&mut one), told(&mut other)];
        let (loser, winner) = (usize::from(second) - 2, usize::from(first) - 2);
        assert_eq!(by_node[loser], [News::OtherPlan { holds, lost }]);
        assert_eq!(by_node[winner], []);
    }
}

#[test]
fn a_plan_that_lost_before_it_was_published_is_told_too() {
    let mut set = set(2);
    pushed(&mut set, "old", WALL);
    let holds = set.draft(push(component("new"), staged(&[5])), WALL + 1, None);
    let lost = set.draft(push(component("new"), Plan::default()), WALL + 2, None);
    let (holds, lost) = (holds.expect("a draft"), lost.expect("a draft"));
    set.publish(holds.clone());
    news(&mut set);
    set.publish(lost.clone());
    assert_eq!(news(&mut set), [News::OtherPlan { holds, lost }]);
}

#[test]
fn a_prefix_of_several_releases_names_them() {
    let mut set = set(2);
    let made: Vec<String> = (0..600)
        .map(|n| pushed(&mut set, &n.to_string(), WALL + n).id().to_string())
        .collect();
    // Among so many keys, two begin with the same four digits.
    let start = |key: &String| key.chars().take(4).collect::<String>();
    let mut starts: Vec<String> = made.iter().map(start).collect();
    starts.sort();
    let twice = starts.windows(2).find(|pair| pair[0] == pair[1]);
    let twice = twice
        .expect("another number of releases does it")
        .first()
        .cloned();
    let prefix: IdPrefix = twice.unwrap_or_default().parse().expect("a prefix");
    let named: Vec<&String> = made
        .iter()
        .filter(|id| id.starts_with(&prefix.to_string()))
        .collect();
    assert!(named.len() > 1);
    let error = refused(&set, request(What::Rollback(RollbackTo::Release(prefix))));
    let text = error.to_string();
    for id in named {
        assert!(text.contains(id), "{text}");
    }
    assert!(text.ends_with("; give more digits"), "{text}");
}
