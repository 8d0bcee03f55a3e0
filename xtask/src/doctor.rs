//! `doctor`: what is needed, what is here, and what KVM really does.

use anyhow::Result;
use harness::boot::accel::{self, AccelChoice, Known};
use harness::plan::files::{Project, Source};
use harness::plan::host::{self, Host, KvmDevice};
use harness::plan::tools::{self, Need, Tool};

use crate::cli::{Doctor, Exit};
use crate::{progress, say, session, setup};

/// Prints the table; 0 if nothing that is required is missing.
pub fn run(args: &Doctor) -> Result<Exit> {
    let project = session::project(args.common.project.as_deref())?;
    let sources = sources(&project)?;
    session::run(progress::events(&args.common), |mut ctx| async move {
        let store = session::store(args.common.cache.as_deref(), &mut ctx)?;
        let mut host = host::look(&ctx, &store).await;
        if args.common.setup {
            let wanted = missing(&host, &sources);
            setup::install(&wanted)?;
            host = host::look(&ctx, &store).await;
        }
        say::result(table(&host, &sources, &kvm(&store, &host)))?;
        Ok(if host.missing(&sources).is_empty() { Exit::Passed } else { Exit::Incomplete })
    })
}

/// The packages that the project's kernels come from.
pub fn sources(project: &Project) -> Result<Vec<Tool>> {
    let mut sources = Vec::new();
    for name in project.kernels()? {
        if let Source::Debian(package) = project.kernel(&name)?.source {
            sources.push(tools::debian_source(package.as_str()));
        }
    }
    Ok(sources)
}

/// Everything that a package would bring: what is required, the columns, and what only helps; not what
/// the tests alone need.
pub fn missing(host: &Host, sources: &[Tool]) -> Vec<Tool> {
    let absent = host.found.iter().filter(|found| found.state.is_err());
    let of_table = absent.map(|found| found.tool.clone()).filter(|tool| tool.need != Need::Tests);
    let of_sources = host.missing(sources).into_iter().map(|(tool, _)| tool);
    let mut tools: Vec<Tool> = Vec::new();
    for tool in of_table.chain(of_sources) {
        if !tools.contains(&tool) {
            tools.push(tool);
        }
    }
    tools
}

fn kvm(store: &harness::store::Store, host: &Host) -> String {
    match (&host.kvm, &host.qemu) {
        (KvmDevice::Absent, _) => "no /dev/kvm: guests run under TCG".to_owned(),
        (KvmDevice::Refused(why), _) => format!("/dev/kvm cannot be opened ({why}): guests run under TCG"),
        (KvmDevice::Opens, None) => "/dev/kvm opens; QEMU is missing".to_owned(),
        (KvmDevice::Opens, Some(qemu)) => match accel::known(store, host, qemu, AccelChoice::Auto) {
            Known::Decided(decision) => {
                format!("/dev/kvm opens; tried: {} ({})", decision.accel, decision.why)
            }
            Known::Untried => {
                "/dev/kvm opens; whether a guest runs under it is tried with the first kernel that is built"
                    .to_owned()
            }
        },
    }
}

fn table(host: &Host, sources: &[Tool], kvm: &str) -> String {
    let mut rows = Vec::new();
    for found in &host.found {
        rows.push((found.tool.clone(), found.state.clone()));
    }
    let absent = host.missing(sources);
    for tool in sources {
        let state = match absent.iter().find(|(missing, _)| missing == tool) {
            Some((_, why)) => Err(why.clone()),
            None => Ok("found".to_owned()),
        };
        rows.push((tool.clone(), state));
    }
    let width = rows.iter().map(|(tool, _)| tool.name.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (tool, state) in rows {
        let (word, what) = match (&state, tool.need) {
            (Ok(state), _) => ("ok", state.clone()),
            (Err(why), Need::Required) => ("MISSING", advice(&tool, why)),
            (Err(why), Need::Column(_) | Need::Selftests) => ("missing", advice(&tool, why)),
            (Err(why), Need::Ssh | Need::Debugger | Need::Tests | Need::Helpful) => {
                ("absent", advice(&tool, why))
            }
        };
        lines.push(format!("{word:8} {:width$}  {what}", tool.name));
    }
    lines.push(format!("{:8} {:width$}  {kvm}", "kvm", "/dev/kvm"));
    lines.push(format!(
        "{:8} {:width$}  {} processors, {} MiB of memory free",
        "host", "", host.cpus, host.memory_free_mib
    ));
    lines.join("\n")
}

fn advice(tool: &Tool, why: &str) -> String {
    format!("{why}; {} ({})", tool.purpose, tool.packages.join(" and "))
}
