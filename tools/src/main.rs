//! The `spandrel` command.
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::error::{ContextKind, ContextValue};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use spandrel_tools::cli;
use spandrel_tools::meant::{cut_quotes, say_what_is_meant};
use spandrel_tools::{Outcome, Session, commands, describe};

fn main() -> ExitCode {
    let cli = cli::parse(std::env::args_os().collect(), std::env::var_os("SPANDREL_SERVER"));
    let cli = cli.unwrap_or_else(|error| suggest(error).exit());
    let stop = Arc::new(AtomicBool::new(false));
    let result = stop_on_signals(&stop).and_then(|()| {
        let session = Session { stop: Arc::clone(&stop), quiet: cli.quiet, format: cli.format };
        commands::run(&cli.command, &session)
    });
    let Err(error) = result else { return Outcome::Done.into() };
    let (outcome, text) = describe(&error, stop.load(Ordering::Relaxed));
    // Nobody can be told that standard error is gone.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
    outcome.into()
}

/// Names the sub-command that another word for it means, and says where a folder stands without a flag.
fn suggest(mut error: clap::Error) -> clap::Error {
    let word = std::env::args_os().nth(1).and_then(|word| word.into_string().ok());
    error = cli::name_alternatives(error, &std::env::args_os().collect::<Vec<_>>());
    let command = word.filter(|word| cli::OF_A_FOLDER.contains(&word.as_str()));
    if let (Some(command), Some(ContextValue::String(flag))) = (command, error.get(ContextKind::InvalidArg))
        && flag == "--index"
    {
        let tip = format!("the folder of the index stands by itself: 'spandrel {command} DIR'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error = say_what_is_meant(error, &std::env::args_os().collect::<Vec<_>>());
    if let Some(tip) = cli::expected_number(&error, &std::env::args_os().collect::<Vec<_>>()) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    let meant = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => cli::meant_by(word),
        _ => None,
    };
    if let Some(command) = meant {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![command.to_owned()]));
    }
    cut_quotes(error)
}

/// Asks the run to stop at the first signal and ends the process at the second.
fn stop_on_signals(stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // Looked at before the flag is set by the same signal, so it acts from the second one on.
        let exit = i32::from(Outcome::Interrupted as u8); // CAST: the enum's own number
        signal_hook::flag::register_conditional_shutdown(signal, exit, Arc::clone(stop))?;
        signal_hook::flag::register(signal, Arc::clone(stop))?;
    }
    // Caught, so that a write over `ulimit -f` fails as on a full disk rather than killing the process.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    Ok(())
}
