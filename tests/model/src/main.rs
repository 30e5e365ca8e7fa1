//! Serves a script on loopback until it is ended: `claudecluster-model --script FILE [--port N]`.

use std::{error::Error, io::Write as _, path::PathBuf, time::Duration};

use clap::Parser;
use claudecluster_model::{Script, Server};

/// A scripted Messages API server. It prints its address, which ANTHROPIC_BASE_URL is to be set to.
#[derive(Parser)]
struct Options {
    /// The script, a YAML file.
    #[arg(long)]
    script: PathBuf,
    /// The port on 127.0.0.1; a free one by default.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Append every request as a JSON line to this file.
    #[arg(long)]
    record: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let server = Server::start_on(Script::load(&options.script)?, options.port)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", server.url())?;
    out.flush()?;
    let mut seen = 0;
    loop {
        server.wait_until(Duration::from_secs(3600), |requests| requests.len() > seen);
        let requests = server.requests();
        if let Some(path) = &options.record {
            let mut file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)?;
            for request in &requests[seen..] {
                let line = serde_json::json!({
                    "method": request.method, "path": request.path, "session": request.session,
                    "rule": request.rule, "headers": request.headers, "body": request.json(),
                });
                writeln!(file, "{line}")?;
            }
        }
        seen = requests.len();
    }
}
