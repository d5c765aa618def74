//! `local completions`

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Ended, put};

/// Prints a script that completes commands and options in a shell
#[derive(Args)]
#[command(after_help = "\
They are for the program by its path, target/debug/local.

Examples:
  local completions bash > ~/.local/share/bash-completion/completions/local
  local completions fish > ~/.config/fish/completions/local.fish
  local completions zsh > ~/.zfunc/_local     a directory in $fpath, before compinit")]
pub(crate) struct Options {
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
