//! Commands and flags that had another name before. The old name still works,
//! and a hint says the new one.

use std::ffi::OsString;

/// Each entry has a command, an old name and the new name. An old flag may be
/// anywhere after its command. An old subcommand counts only right after its
/// command.
const OLD: [(&str, &str, &str); 8] = [
    ("run", "--allow", "--member-net"),
    ("run", "--config", "--app-config"),
    ("run", "--max-app", "--max-component"),
    ("run", "--keep-apps", "--keep-components"),
    ("push", "--key", "--sign-with"),
    ("rollback", "--key", "--sign-with"),
    ("key", "generate", "new"),
    ("cookie", "generate", "new"),
];

/// Replaces the old names among these words, and returns a hint for each of
/// them. The second word is the command.
pub(super) fn replace(words: &mut [OsString]) -> Vec<String> {
    let Some((command, rest)) = words.get_mut(1..).and_then(<[_]>::split_first_mut) else {
        return Vec::new();
    };
    let mut hints = Vec::new();
    for (of, old, new) in OLD {
        if command.as_os_str() != of {
            continue;
        }
        let reach = if old.starts_with("--") { rest.len() } else { 1 };
        let named = rest.iter_mut().take(reach);
        let mut found = false;
        for word in named.take_while(|word| word.as_os_str() != "--") {
            if let Some(replaced) = replaced(word, old, new) {
                *word = replaced;
                found = true;
            }
        }
        if found {
            hints.push(format!(
                "hint: `{old}` is now called `{new}`; the old name still works"
            ));
        }
    }
    hints
}

/// The word with the new name. It may be `--old`, `--old=VALUE` or a command.
fn replaced(word: &OsString, old: &str, new: &str) -> Option<OsString> {
    let word = word.to_str()?;
    match word.strip_prefix(old)? {
        "" => Some(new.into()),
        value if value.starts_with('=') && old.starts_with("--") => {
            Some(format!("{new}{value}").into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn each_old_name_becomes_the_new_one_and_a_hint_says_so() {
        for (command, old, new) in OLD {
            for end in ["", "=x", " x"] {
                let flag = old.starts_with("--");
                if end == "=x" && !flag {
                    continue;
                }
                let mut typed = words(&format!("host {command} {old}{end}"));
                let hints = replace(&mut typed);
                assert_eq!(typed, words(&format!("host {command} {new}{end}")));
                assert_eq!(hints.len(), 1, "{hints:?}");
                assert!(
                    hints[0].contains(old) && hints[0].contains(new),
                    "{hints:?}"
                );
            }
        }
    }

    #[test]
    fn what_only_looks_like_an_old_name_stays() {
        for line in [
            "host",
            "host push --allow x",
            "host push app.wasm -- --key",
            "host run --allowed x",
            "host key public generate",
            "host cookie generate=x",
        ] {
            let mut typed = words(line);
            assert!(replace(&mut typed).is_empty(), "{line}");
            assert_eq!(typed, words(line));
        }
    }
}
