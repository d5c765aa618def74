//! `trueppm completions`

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use ops::command::{Ended, put};

/// Print a script that completes commands and options in a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  trueppm completions bash > ~/.local/share/bash-completion/completions/trueppm
  trueppm completions fish > ~/.config/fish/completions/trueppm.fish
  trueppm completions zsh > ~/.zfunc/_trueppm     a directory in $fpath, before compinit")]
pub(crate) struct Options {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run<Cli: CommandFactory>(options: &Options) -> Ended {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(options.shell, &mut command, name, &mut script);
    put(String::from_utf8_lossy(&script).trim_end())?;
    Ok(0)
}
