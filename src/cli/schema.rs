//! `schema`, `completions` and `man`: support for editors, shells and readers of manuals.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};

use super::{print, Cli};
use crate::config::{json_schema, reference_markdown};

const EXAMPLES: &str = "\
Examples:
  transfergrid schema > study.schema.json      then begin the study with: # yaml-language-server: $schema=study.schema.json
  transfergrid schema --markdown               the reference in docs/study.md";

/// Print the JSON schema of a study file, for editors
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SchemaArgs {
    /// Print the reference as Markdown instead
    #[arg(long)]
    markdown: bool,
}

impl SchemaArgs {
    pub fn run(self) -> Result<u8> {
        match self.markdown {
            true => print(&reference_markdown()),
            false => print(&format!("{:#}\n", json_schema())),
        }
        Ok(0)
    }
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  transfergrid completions bash > ~/.local/share/bash-completion/completions/transfergrid")]
pub struct CompletionsArgs {
    shell: clap_complete::Shell,
}

impl CompletionsArgs {
    pub fn run(self) -> Result<u8> {
        let mut script = vec![];
        clap_complete::generate(self.shell, &mut Cli::command(), "transfergrid", &mut script);
        print(&String::from_utf8_lossy(&script));
        Ok(0)
    }
}

/// Write the man pages of all commands to a folder
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  transfergrid man ~/.local/share/man/man1")]
pub struct ManArgs {
    folder: PathBuf,
}

impl ManArgs {
    pub fn run(self) -> Result<u8> {
        std::fs::create_dir_all(&self.folder).with_context(|| format!("{} cannot be created", self.folder.display()))?;
        clap_mangen::generate_to(Cli::command(), &self.folder)
            .with_context(|| format!("the man pages cannot be written to {}", self.folder.display()))?;
        Ok(0)
    }
}
