//! Wraps, aligns and colours text for a terminal.

use comfy_table::{presets, CellAlignment, ContentArrangement, Table};
use console::{measure_text_width, Style};

use crate::report::analysis::Verdict;
use crate::report::render::verdict_text::Badge;

/// Columns of text that is not printed to a terminal.
const WIDTH: usize = 100;
/// Wider lines are hard to read.
const WIDEST: usize = 120;

/// Columns of the longest label of a list.
const LABEL: usize = "by accuracy".len();

/// The text of a row of a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Text {
    Prose(String),
    Command(String),
}

/// What the text is printed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Columns.
    pub width: usize,
    /// Whether colours and bold letters may be used.
    pub colour: bool,
}

impl Screen {
    /// A file or a pipe.
    pub const PLAIN: Screen = Screen { width: WIDTH, colour: false };

    /// Standard output. Colours are for terminals, and only without `NO_COLOR`.
    pub fn stdout() -> Screen {
        let term = console::Term::stdout();
        if !term.is_term() {
            return Screen::PLAIN;
        }
        let width = term.size_checked().map_or(WIDTH, |(_, columns)| usize::from(columns));
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Screen { width: width.clamp(20, WIDEST), colour: !is_plain && console::colors_enabled() }
    }

    pub fn bold(self, text: &str) -> String {
        self.styled(text, Style::new().bold())
    }

    pub fn dim(self, text: &str) -> String {
        self.styled(text, Style::new().dim())
    }

    /// A verdict in its colour, as on the page.
    pub fn verdict(self, text: &str, badge: Badge) -> String {
        let style = Style::new().bold();
        self.styled(
            text,
            match badge {
                Badge::Order(Verdict::Stronger) => style.cyan(),
                Badge::Order(Verdict::Weaker) => style.magenta(),
                Badge::Order(Verdict::Same) | Badge::Gain(true) => style.green(),
                Badge::Order(Verdict::Collapsed) | Badge::Gain(false) => style.red(),
                Badge::Order(Verdict::Undecided) | Badge::Open => style.yellow(),
            },
        )
    }

    fn styled(self, text: &str, style: Style) -> String {
        match self.colour {
            true => style.force_styling(true).apply_to(text).to_string(),
            false => text.into(),
        }
    }

    /// Wraps a paragraph; its first line begins with `first`, the others with `rest`.
    pub fn wrap(self, text: &str, first: &str, rest: &str) -> String {
        let options = textwrap::Options::new(self.width)
            .initial_indent(first)
            .subsequent_indent(rest)
            .break_words(false) // paths and commands stay whole, so that they can be copied
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        textwrap::fill(text, options)
    }

    /// Wraps a command, with a backslash at the end of each line that goes on, so that it can be
    /// pasted.
    fn wrap_command(self, command: &str, first: &str, rest: &str) -> String {
        let mut lines = vec![first.to_string()];
        for (i, word) in shell_words(command).into_iter().enumerate() {
            let line = lines.len() - 1;
            let is_first = i == 0 || lines[line].trim().is_empty();
            // Room for a blank and the backslash.
            if !is_first && measure_text_width(&lines[line]) + 1 + measure_text_width(word) + 2 > self.width {
                lines[line].push_str(" \\");
                lines.push(format!("{rest}{word}"));
            } else {
                lines[line].push_str(if i == 0 { "" } else { " " });
                lines[line].push_str(word);
            }
        }
        lines.join("\n")
    }

    /// A list of labels with their texts, which are wrapped.
    pub fn list(self, rows: &[(&str, Text)]) -> String {
        self.list_with(LABEL, rows)
    }

    /// A list whose labels have a column of `longest` letters, or of as many as they need.
    pub fn list_with(self, longest: usize, rows: &[(&str, Text)]) -> String {
        let labels = rows.iter().map(|(label, _)| measure_text_width(label));
        let width = labels.max().unwrap_or(0).max(longest).min(self.width / 3) + 4;
        let indent = " ".repeat(if self.width < 60 { 4 } else { width });
        let wrap = |text: &Text, first: &str| match text {
            Text::Prose(text) => self.wrap(text, first, &indent),
            Text::Command(command) => self.wrap_command(command, first, &indent),
        };
        let line = |(label, text): &(&str, Text)| {
            let label = format!("  {label:<w$}", w = width - 2);
            match self.width < 60 {
                true => format!("{}\n{}", label.trim_end(), wrap(text, &indent)),
                false => wrap(text, &label),
            }
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The table without the columns of `spare` that do not fit, the last of them first.
    pub fn table_that_fits(self, mut rows: Vec<Vec<String>>, spare: &[usize]) -> String {
        let mut spare = spare.to_vec();
        let width = |rows: &[Vec<String>]| -> usize {
            let column = |i: usize| rows.iter().map(|row| measure_text_width(&row[i])).max().unwrap_or(0) + 2;
            (0..rows.first().map_or(0, Vec::len)).map(column).sum::<usize>() + 2
        };
        while width(&rows) > self.width {
            let Some(column) = spare.pop() else { break };
            rows.iter_mut().for_each(|row| {
                row.remove(column);
            });
            spare.iter_mut().filter(|other| **other > column).for_each(|other| *other -= 1);
        }
        self.table(&rows)
    }

    /// Rows of equally many cells in columns, indented by two. The first column is left-aligned,
    /// the others are right-aligned.
    pub fn table(self, rows: &[Vec<String>]) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(u16::try_from(self.width.saturating_sub(1)).unwrap_or(u16::MAX));
        rows.iter().for_each(|row| {
            table.add_row(row);
        });
        for (i, column) in table.column_iter_mut().enumerate() {
            column.set_padding((if i == 0 { 2 } else { 1 }, 1));
            column.set_cell_alignment(if i == 0 { CellAlignment::Left } else { CellAlignment::Right });
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_string()).collect();
        lines.join("\n")
    }
}

/// The words of a command as they are written: blanks inside quotes do not end a word.
fn shell_words(command: &str) -> Vec<&str> {
    let mut quote = None;
    let mut is_escaped = false;
    let is_end = |c: char| {
        let ends = c == ' ' && quote.is_none() && !is_escaped;
        match (c, quote) {
            _ if is_escaped => is_escaped = false,
            ('\\', None | Some('"')) => is_escaped = true,
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        ends
    };
    command.split(is_end).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_a_wrapped_command_can_be_pasted() {
        let command = "transfergrid sweep my-study.yaml --until settled --budget 1h --set 'seeds=[0, 3, 7]'";
        for width in [40, 60, 100] {
            let screen = Screen { width, colour: false };
            let text = screen.list(&[("next", Text::Command(command.into())), ("page", Text::Prose(command.replace('-', "x")))]);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
            let pasted = text.split("page").next().unwrap().replace("next", "");
            assert_eq!(shlex::split(&pasted.replace("\\\n", " ")), shlex::split(command), "{pasted}");
            let rows = ["", "stronger and more", "12 to 14"].map(str::to_string).to_vec();
            assert!(screen.table(&[rows.clone(), rows]).lines().all(|line| line.chars().count() <= width));
        }
    }
}
