//! The provider's keys: a session works with a placeholder, and finds the key nowhere.

use claudecluster_model::{Recorded, Script, Server};
use claudecluster_protocol::{goal::EnvVar, network::NetworkMode};
use uuid::Uuid;

use super::*;
use crate::support::session::claudes;

/// Looks everywhere that a session can look: its variables and those of every process, every file of its home, and the
/// new ones in temporary folders.
const DUMP: &str = "{
    env
    cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline
    find /run/claudecluster \"$CLAUDE_CONFIG_DIR\" -type f -exec cat {} +
    find /tmp /dev/shm -maxdepth 2 -type f -newer dump.sh -size -1024k -exec cat {} +
} 2>/dev/null | tr '\\0' '\\n' > dump.txt
";

const SCRIPT: &str = r"
rules:
  - when: {user: Dump}
    turns:
      - - run: sh dump.sh
      - - text: done
";

/// A job with a session of an agent that has these variables.
fn session_job(
    fixture: &Fixture,
    agent: AgentName,
    mode: NetworkMode,
    env: &[(&str, &str)],
) -> WorkerJob {
    let mut job = job(fixture, "");
    let pairs = env.iter().map(|(name, value)| EnvVar {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    });
    job.session_env = JobEnv(pairs.collect());
    job.network.mode = mode;
    let task = job.session.as_mut().unwrap();
    task.agent = agent;
    task.run = None;
    task.prompt = "Dump".to_owned();
    task.session = Uuid::new_v4().to_string();
    task.model = Some("claude-sonnet-5".to_owned());
    task.limits.max_turns = 9;
    job
}

/// The contents of a file that a session has made.
fn made_file(report: &JobReport, contents: &Contents, path: &str) -> String {
    let change = report
        .changes
        .iter()
        .find(|change| change.path.as_str() == path);
    let version = change.unwrap().version.as_ref().unwrap();
    String::from_utf8_lossy(&contents[&version.blob]).into_owned()
}

/// The one value of a header of logins in all requests; `None` where a request has another.
fn login_of<'a>(requests: &'a [Recorded], header: &str) -> Option<&'a str> {
    let mut values = requests.iter().flat_map(|request| &request.logins.0);
    let first = values.next()?;
    (first.0 == header && values.all(|other| other == first)).then_some(first.1.as_str())
}

/// Runs a session with a login, and checks who has seen it.
async fn check(agent: AgentName, program: Option<&Path>, variable: &str, mode: NetworkMode) {
    let what = format!("{agent} {program:?} {variable} {mode:?}");
    let fixture = Fixture::new(&[("dump.sh", DUMP)]);
    let server = Server::start(Script::parse(SCRIPT).unwrap()).unwrap();
    let real = "real-4711-login-of-the-user";
    let executor: Box<dyn Executor> = match program {
        Some(program) => {
            let [(_, local), _] = with_claude(&fixture, program);
            local
        }
        None => Box::new(local(&fixture, "local")),
    };
    let url = server.url();
    let env = [("ANTHROPIC_BASE_URL", url.as_str()), (variable, real)];
    let job = session_job(&fixture, agent, mode, &env);
    let (report, contents) = run(&*executor, job, Contents::new(), false).await;
    assert_eq!(report.stop, None, "{what}: {report:?}");
    let (header, login) = match variable {
        "ANTHROPIC_API_KEY" => ("x-api-key", real.to_owned()),
        _ => ("authorization", format!("Bearer {real}")),
    };
    let requests = server.requests();
    assert_eq!(login_of(&requests, header), Some(login.as_str()), "{what}");
    let dump = made_file(&report, &contents, "dump.txt");
    assert!(!dump.contains(real), "{what}: {dump}");
    // It has looked where such things are, and found the placeholder.
    assert!(dump.contains("PATH="), "{what}: {dump}");
    if agent == AgentName::ClaudeCode {
        assert!(
            dump.contains(&format!("\n{variable}=placeholder-")),
            "{what}: {dump}"
        );
        assert!(
            dump.contains("\"hasCompletedOnboarding\""),
            "{what}: {dump}"
        );
    }
    // The address of the provider itself is not there either.
    assert!(!dump.contains(&url), "{what}: {dump}");
    for content in contents.values() {
        let text = String::from_utf8_lossy(content);
        assert!(!text.contains(real), "{what}: {text}");
    }
    let port = url.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let counted = report.hosts.iter().find(|host| host.port == port).unwrap();
    assert!(
        counted.allowed > 0 && counted.sent > 0 && counted.received > 0,
        "{what}"
    );
}

#[tokio::test]
async fn a_session_of_claude_code_works_without_its_key() {
    for program in claudes() {
        let program = Some(program.as_path());
        for variable in [
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "CLAUDE_CODE_OAUTH_TOKEN",
        ] {
            check(
                AgentName::ClaudeCode,
                program,
                variable,
                NetworkMode::Closed,
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_session_of_the_built_in_agent_works_without_its_key() {
    for variable in ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"] {
        check(AgentName::Native, None, variable, NetworkMode::Closed).await;
    }
}

#[tokio::test]
async fn an_open_network_does_not_show_the_key() {
    let [_, program, _] = claudes();
    let variable = "ANTHROPIC_API_KEY";
    check(
        AgentName::ClaudeCode,
        Some(&program),
        variable,
        NetworkMode::Open,
    )
    .await;
    check(AgentName::Native, None, variable, NetworkMode::Open).await;
}

#[tokio::test]
async fn a_broker_whose_address_cannot_be_used_starts_nothing() {
    let fixture = Fixture::new(&[]);
    let env = [
        ("ANTHROPIC_BASE_URL", "gateway"),
        ("ANTHROPIC_API_KEY", "real"),
    ];
    let job = session_job(&fixture, AgentName::Native, NetworkMode::Closed, &env);
    let (report, _) = run(&local(&fixture, "local"), job, Contents::new(), false).await;
    assert!(
        report
            .summary
            .contains("the provider's address cannot be used (ANTHROPIC_BASE_URL)"),
        "{report:?}"
    );
}
