//! Tests of the checks of the command line.

use super::*;
use clap::Parser as _;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    run: RunArgs,
}

fn check(line: &str, environment: Environment) -> Result<NodeConfig, NodeConfigError> {
    NodeConfig::check(Line::parse_from(line.split(' ')).run, environment)
}

fn refused(line: &str) -> String {
    check(line, Environment::default()).unwrap_err().to_string()
}

#[test]
fn the_port_comes_from_the_environment_and_else_is_8080() {
    assert_eq!(
        check("host --app a", Environment::default())
            .unwrap()
            .http_port,
        8080
    );
    let port = |port: &str| Environment {
        port: Some(port.to_owned()),
        ..Environment::default()
    };
    assert_eq!(check("host --app a", port("9000")).unwrap().http_port, 9000);
    assert!(
        check("host --app a", port("x"))
            .unwrap_err()
            .to_string()
            .contains("PORT")
    );
}

#[test]
fn calls_share_no_instance_unless_that_is_asked_for() {
    let instances = |line: &str| {
        let config = check(line, Environment::default()).unwrap();
        config.instances.to_string()
    };
    assert_eq!(instances("host --app a"), "fresh");
    assert_eq!(instances("host --app a --instances reuse"), "reuse=1000");
    let wrong = Line::try_parse_from("host --app a --instances reuse=0".split(' '));
    let said = wrong.map(drop).unwrap_err().to_string();
    assert!(
        said.contains("not one of fresh, reuse and reuse=CALLS"),
        "{said}"
    );
}

#[test]
fn the_cookie_comes_from_the_flag_or_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cookie");
    std::fs::write(&file, "of the file\n").unwrap();
    let cookie = |line: &str| {
        let config = check(line, Environment::default()).unwrap();
        config
            .cookie
            .map(|origin| origin.read().unwrap().reveal().to_vec())
    };
    assert_eq!(cookie("host --app a --cookie flag"), Some(b"flag".to_vec()));
    assert_eq!(
        cookie(&format!("host --app a --cookie-file {}", file.display())),
        Some(b"of the file".to_vec())
    );
    assert_eq!(cookie("host --app a"), None);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    assert!(refused("host --app a --name example").starts_with("--name: `example` has no IP"));
    assert!(refused("host --app a --join 10.0.0").starts_with("--join: `10.0.0`"));
    assert!(refused("host --app a --member-net 10.0.0.0/33").starts_with("--member-net: "));
    assert!(refused("host --app a --memory-limit 5GiB").starts_with("--memory-limit is 5.0 GiB"));
    assert!(refused("host --app a --cpu-limit 0s").starts_with("--cpu-limit is zero"));
    assert!(
        refused("host --app a --cookie-file /nonexistent/x").starts_with("--cookie-file: cannot")
    );
    assert!(check("host --app a --cookie x", Environment::default()).is_ok());
}

#[test]
fn a_smoke_request_is_get_and_a_path() {
    let config = check("host --smoke GET /a?b --app a", Environment::default());
    assert_eq!(config.unwrap().smoke.unwrap().as_str(), "/a?b");
    for given in ["POST /", "GET a", "get /", "GET /\u{7}"] {
        let error = refused(&format!("host --app a --smoke {given}"));
        assert!(
            error.starts_with(&format!("--smoke: `{given}` is no")),
            "{error}"
        );
    }
}

#[test]
fn nodes_to_join_take_the_cluster_port_by_default() {
    let config = check(
        "host --app a --join 10.0.0.5,10.0.0.6:1,seed.example.org,seed:1 --cluster-port 9",
        Environment::default(),
    );
    let config = config.unwrap();
    assert_eq!(config.join[0].to_string(), "10.0.0.5:9");
    assert_eq!(config.join[1].to_string(), "10.0.0.6:1");
    assert_eq!(config.join_names[0].to_string(), "seed.example.org:9");
    assert_eq!(config.join_names[1].to_string(), "seed:1");
}
